use capstan_domain::id::{BlockerId, TaskId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Sends an input to a task: an answer or a new turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SubmitTaskInput {
    /// Id of the task.
    pub task_id: TaskId,
    /// `approve_reject` or `free_text`; what the input holds decides when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// `approve` or `reject`; with items, theirs count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Decisions on single outputs; those the open blocker asks about when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<DecidedItem>,
    /// Answers by question id.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub answers: Map<String, Value>,
    /// The blocker it answers; the open one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocker_id: Option<BlockerId>,
    /// `followup` (default), `queue`, `steer`, `steer-backlog` or `interrupt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_mode: Option<String>,
}

impl SubmitTaskInput {
    /// An input that is a text and nothing else.
    pub fn from_text(task_id: TaskId, message: impl Into<String>) -> Self {
        Self {
            task_id,
            kind: None,
            action: None,
            message: message.into(),
            items: Vec::new(),
            answers: Map::new(),
            blocker_id: None,
            queue_mode: None,
        }
    }
}

/// A decision on one output.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DecidedItem {
    /// The output.
    pub output_id: String,
    /// `approve` or `reject`.
    pub action: String,
    /// Reason; free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
