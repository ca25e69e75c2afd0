use capstan_domain::id::TaskId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Puts a task away; one that is not over is cancelled first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ArchiveTask {
    /// Id of the task.
    pub task_id: TaskId,
}
