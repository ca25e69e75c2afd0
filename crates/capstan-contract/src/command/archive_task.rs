use capstan_domain::id::TaskId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Archives a task; an open task is cancelled first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ArchiveTask {
    /// Id of the task.
    pub task_id: TaskId,
}
