use capstan_domain::id::ScheduleId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Ends a schedule; the tasks it made stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeleteSchedule {
    /// Id of the schedule.
    pub schedule_id: ScheduleId,
}
