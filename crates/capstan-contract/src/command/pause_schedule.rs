use capstan_domain::id::ScheduleId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Stops a schedule until it is resumed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PauseSchedule {
    /// Id of the schedule.
    pub schedule_id: ScheduleId,
    /// Reason; free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
