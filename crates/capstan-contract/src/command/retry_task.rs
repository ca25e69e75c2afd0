use capstan_domain::id::TaskId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Gives a task that ended badly another run: one that is in error, dropped or cancelled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryTask {
    /// Repeats under the same key are answered with the first outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// The task; needed where no path names it, that is on the bus and in batches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<TaskId>,
    /// What is said with it; without it the agent is told what it was told last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
