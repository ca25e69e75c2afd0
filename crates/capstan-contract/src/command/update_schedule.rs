use capstan_domain::Change;
use capstan_domain::id::ScheduleId;
use capstan_domain::schedule::{CatchUp, Overlap};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Changes what is given of a schedule, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UpdateSchedule {
    /// Id of the schedule.
    pub schedule_id: ScheduleId,
    /// Five-field cron expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron_expr: Option<String>,
    /// IANA name of the zone whose clocks it follows; empty means UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// Prompt sent to the agent at each tick.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Skills handed to the agent, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skill_paths: Option<Vec<String>>,
    /// The view it works for; null clears it.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub source_view_id: Change<String>,
    /// False pauses it, true resumes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
    /// Policy for a tick while a task of an earlier tick is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Overlap>,
    /// Policy for missed ticks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catch_up: Option<CatchUp>,
    /// Longest delay of a tick by jitter, in milliseconds; at most one day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter_ms: Option<i64>,
}
