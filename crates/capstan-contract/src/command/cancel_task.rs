use capstan_domain::id::TaskId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Cancels a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CancelTask {
    /// Id of the task.
    pub task_id: TaskId,
    /// Reason; free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
