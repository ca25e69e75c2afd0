use capstan_domain::id::ScheduleId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Lists the schedules of a workspace, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListSchedules {
    /// Id of the view.
    pub source_view_id: Option<String>,
    /// Agent id, key or similar name.
    pub agent_id: Option<String>,
    /// True for active ones only, false for paused ones only.
    pub active: Option<bool>,
}

/// Reads a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetSchedule {
    /// Id of the schedule.
    pub schedule_id: ScheduleId,
}

/// Computes the next ticks of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PreviewSchedule {
    /// Id of the schedule.
    pub schedule_id: ScheduleId,
    /// Number of ticks, 10 by default; a value beyond 1 to 100 counts as the nearest one.
    pub n: Option<u32>,
}
