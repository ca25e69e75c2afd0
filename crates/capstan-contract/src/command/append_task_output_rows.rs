use capstan_domain::id::{OutputId, TaskId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Adds rows to an output's `data.rows` from outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AppendTaskOutputRows {
    /// Id of the task.
    pub task_id: TaskId,
    /// Id of the output.
    pub output_id: OutputId,
    /// The new rows.
    pub rows: Vec<Value>,
}
