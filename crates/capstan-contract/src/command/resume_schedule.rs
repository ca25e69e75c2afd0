use capstan_domain::id::ScheduleId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Resumes a paused schedule; ticks missed during the pause do not fire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResumeSchedule {
    /// Id of the schedule.
    pub schedule_id: ScheduleId,
}
