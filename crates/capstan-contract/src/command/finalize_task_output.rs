use capstan_domain::id::{OutputId, TaskId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Gives an output its final summary from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FinalizeTaskOutput {
    /// Id of the task.
    pub task_id: TaskId,
    /// Id of the output.
    pub output_id: OutputId,
    /// The summary.
    pub summary: String,
}
