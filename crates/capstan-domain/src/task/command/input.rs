//! Commands that submit inputs, and those of the agent that receives them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::id::{BlockerId, InputId, OutputId, RunId, TaskId};
use crate::task::command::acceptance::MESSAGE_BYTES_MAX;
use crate::task::words::{DecisionWord, InputKindWord, QueueModeWord};

/// Sends an input to a task: an answer or a new turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SubmitTaskInput {
    /// Id of the task.
    pub task_id: TaskId,
    /// `approve_reject` or `free_text`; what the input holds decides when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<InputKindWord>")]
    pub kind: Option<String>,
    /// `approve` or `reject`; with items, what they all say, or absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DecisionWord>")]
    pub action: Option<String>,
    /// The text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Decisions on single outputs, each named once: all the open blocker asks about; those when absent.
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
    #[schemars(with = "Option<QueueModeWord>")]
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
    #[schemars(with = "DecisionWord")]
    pub action: String,
    /// Reason; free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Sends an input to the task of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EnqueueRunInput {
    /// Id of the run.
    pub run_id: RunId,
    /// The text.
    pub message: String,
    /// `followup` (default), `queue`, `steer`, `steer-backlog` or `interrupt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<QueueModeWord>")]
    pub queue_mode: Option<String>,
}

/// An input as the task decides on it: what the caller sent, and the facts beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct SubmitInput {
    /// The input. One for a run, or on a session that has a task, is a text in a queue mode.
    pub input: SubmitTaskInput,
    /// Fresh, or derived from the idempotency key.
    pub input_id: InputId,
    /// The run it was addressed to, when it was addressed to one.
    pub run_id: Option<RunId>,
    /// The sender, by actor name.
    pub by: Option<String>,
    /// The outputs it decides on that were found in another task.
    pub foreign: Vec<OutputId>,
    /// The blocker whose answer schema it was checked against.
    pub checked_for: Option<BlockerId>,
    /// Grace of an interrupted worker, in milliseconds.
    pub grace_ms: i64,
    /// Longest message, in bytes.
    pub message_bytes_max: usize,
}

impl SubmitInput {
    /// An input of a caller without a name, at most [`MESSAGE_BYTES_MAX`] long, that leaves a worker no grace.
    pub fn new(input_id: InputId, input: SubmitTaskInput) -> Self {
        Self {
            input,
            input_id,
            run_id: None,
            by: None,
            foreign: Vec::new(),
            checked_for: None,
            grace_ms: 0,
            message_bytes_max: MESSAGE_BYTES_MAX,
        }
    }
}

/// The input could not be put into the live turn: it waits for the end of the turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeferInput {
    /// Id of the input.
    pub input_id: InputId,
    /// Reason the input was deferred.
    pub reason: String,
}

/// Claims the oldest pending input for the live attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClaimInput {}

/// Acknowledges a claimed input: the agent has received it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AckInput {
    /// Id of the input.
    pub input_id: InputId,
}
