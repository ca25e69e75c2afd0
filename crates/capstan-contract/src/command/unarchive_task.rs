use capstan_domain::id::TaskId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Takes a task out of the archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnarchiveTask {
    /// Id of the task.
    pub task_id: TaskId,
}
