use capstan_domain::id::{OutputId, TaskId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Gives an output its final summary from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FinalizeTaskOutput {
    /// Repeats under the same key are answered with the first outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// The task; needed where no path names it, that is on the bus and in batches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<TaskId>,
    /// The output; needed where no path names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_id: Option<OutputId>,
    /// The summary.
    pub summary: String,
}
