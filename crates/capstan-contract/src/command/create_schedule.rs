use capstan_domain::schedule::{CatchUp, Overlap};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Begins a schedule: a prompt to an agent at the times of a cron expression.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreateSchedule {
    /// The agent, by id or key.
    pub agent_id: String,
    /// Five-field cron expression.
    pub cron_expr: String,
    /// IANA name of the zone whose clocks it follows; UTC when absent or empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// Prompt sent to the agent at each tick.
    pub prompt: String,
    /// Skills handed to the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skill_paths: Option<Vec<String>>,
    /// The view it works for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_view_id: Option<String>,
    /// False for a schedule that begins paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
    /// Policy for a tick while a task of an earlier tick is open; `queue` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Overlap>,
    /// Policy for missed ticks; `one` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catch_up: Option<CatchUp>,
    /// Longest delay of a tick by jitter, in milliseconds; 0 when absent, at most one day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter_ms: Option<i64>,
}
