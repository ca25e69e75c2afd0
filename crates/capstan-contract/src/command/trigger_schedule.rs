use capstan_domain::id::ScheduleId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Makes one task of a schedule now, beside its ticks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TriggerSchedule {
    /// Id of the schedule.
    pub schedule_id: ScheduleId,
}
