use capstan_domain::id::ScheduleId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Lets a paused schedule go on, from now: ticks of the pause are not made up for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResumeSchedule {
    /// Id of the schedule.
    pub schedule_id: ScheduleId,
}
