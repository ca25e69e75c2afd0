use capstan_domain::id::{OutputId, TaskId};
use capstan_domain::task::event::OutputStatus;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Lists the outputs of a workspace, newest first, or of one task, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListOutputs {
    /// Id of the task.
    pub task_id: Option<TaskId>,
    /// Agent id, key or similar name.
    pub agent_id: Option<String>,
    /// Type of the output.
    #[serde(rename = "type")]
    pub output_type: Option<String>,
    /// Accepted statuses; any when empty.
    #[serde(default)]
    pub status: Vec<OutputStatus>,
    /// Archived or not; those that are not by default.
    #[serde(default)]
    pub archived: Archived,
    /// True to include outputs that are hidden from the feed.
    #[serde(default)]
    pub hidden: bool,
    /// Created after this instant.
    pub created_after: Option<DateTime<Utc>>,
    /// Created before this instant.
    pub created_before: Option<DateTime<Utc>>,
}

/// Reads an output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetOutput {
    /// Id of the output.
    pub output_id: OutputId,
}

/// Reads an output of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetTaskOutput {
    /// Id of the task.
    pub task_id: TaskId,
    /// Id of the output.
    pub output_id: OutputId,
}

/// Lists the rows of an output in their order. A page ends with the row that reaches 1 MiB.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListOutputRows {
    /// Id of the output.
    pub output_id: OutputId,
    /// Page size, 50 by default; a value beyond 1 to 500 counts as the nearest one.
    pub limit: Option<u32>,
    /// The `next_cursor` of the previous page: the number of the row before the first one wanted.
    pub cursor: Option<u64>,
}

/// The archived rows of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Archived {
    /// Leaves archived ones out.
    #[default]
    False,
    /// Archived ones only.
    True,
    /// Archived or not.
    Any,
}

impl Archived {
    /// The value rows must have; none for any.
    pub fn wanted(self) -> Option<bool> {
        match self {
            Self::False => Some(false),
            Self::True => Some(true),
            Self::Any => None,
        }
    }
}
