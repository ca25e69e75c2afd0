//! Commands that submit inputs, and those of the agent that receives them.

use serde_json::{Map, Value};

use crate::id::{AttemptId, BlockerId, InputId, RunId, TaskId};
use crate::task::event::InputSource;

/// Submits an input to a task (`SubmitTaskInput`, `EnqueueRunInput`).
#[derive(Clone, Debug, PartialEq)]
pub struct SubmitInput {
    /// Fresh, or derived from the idempotency key.
    pub input_id: InputId,
    /// The run it was addressed to, when it was addressed to one.
    pub run_id: Option<RunId>,
    /// `approve_reject` or `free_text`; what it holds decides when absent.
    pub kind: Option<String>,
    /// `approve` or `reject`, in any case.
    pub action: Option<String>,
    /// The text.
    pub message: String,
    /// Decisions on single outputs.
    pub items: Vec<ItemSpec>,
    /// Answers by question id.
    pub answers: Map<String, Value>,
    /// `followup` (when absent), `queue`, `steer`, `steer-backlog` or `interrupt`, in any case.
    pub queue_mode: Option<String>,
    /// The source of the input.
    pub source: InputSource,
    /// The sender, by actor name.
    pub by: Option<String>,
    /// The blocker it is meant for; the open one when absent.
    pub blocker_id: Option<BlockerId>,
    /// The blocker whose answer schema it was checked against.
    pub checked_for: Option<BlockerId>,
    /// Grace of an interrupted worker, in milliseconds.
    pub grace_ms: i64,
    /// Longest message, in bytes.
    pub message_bytes_max: usize,
}

impl SubmitInput {
    /// A text with nothing else to it.
    pub fn text(input_id: InputId, source: InputSource, message: String) -> Self {
        Self {
            input_id,
            run_id: None,
            kind: None,
            action: None,
            message_bytes_max: message.len(),
            message,
            items: Vec::new(),
            answers: Map::new(),
            queue_mode: None,
            source,
            by: None,
            blocker_id: None,
            checked_for: None,
            grace_ms: 0,
        }
    }
}

/// A decision on one output, as it was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ItemSpec {
    /// The output's id.
    pub output_id: String,
    /// `approve` or `reject`, in any case.
    pub action: String,
    /// The reason, for people.
    pub reason: Option<String>,
    /// The other task the output was found in.
    pub of_task: Option<TaskId>,
}

/// The input could not be put into the live turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeferInput {
    /// The attempt that reports it.
    pub attempt_id: AttemptId,
    /// Id of the input.
    pub input_id: InputId,
    /// The reason, for people.
    pub reason: String,
}

/// The live attempt takes the oldest pending input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimInput {
    /// The attempt that reports it.
    pub attempt_id: AttemptId,
}

/// The agent has the claimed input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AckInput {
    /// The attempt that reports it.
    pub attempt_id: AttemptId,
    /// Id of the input.
    pub input_id: InputId,
}
