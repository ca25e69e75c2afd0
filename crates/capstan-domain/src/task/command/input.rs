//! Requests that say something to a task, and those of the agent that hears it.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::id::{AttemptId, BlockerId, InputId, RunId, TaskId};
use crate::task::event::InputSource;

/// Says something to a task (`SubmitTaskInput`, `EnqueueRunInput`).
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
    /// What says it.
    pub source: InputSource,
    /// Who says it, by actor name.
    pub by: Option<String>,
    /// The blocker it is meant for; the open one when absent.
    pub blocker_id: Option<BlockerId>,
    /// The blocker whose answer schema it was checked against.
    pub checked_for: Option<BlockerId>,
    /// How long a worker it interrupts has to stop, in milliseconds.
    pub grace_ms: i64,
    /// Longest message, in bytes.
    pub message_bytes_max: usize,
    /// When.
    pub at: DateTime<Utc>,
}

impl SubmitInput {
    /// A text with nothing else to it.
    pub fn text(input_id: InputId, source: InputSource, message: String, at: DateTime<Utc>) -> Self {
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
            at,
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
    /// Why.
    pub reason: Option<String>,
    /// The other task the output was found in.
    pub of_task: Option<TaskId>,
}

/// The input could not be put into the live turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeferInput {
    /// The fence.
    pub attempt_id: AttemptId,
    /// Which input.
    pub input_id: InputId,
    /// Why not.
    pub reason: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// The live attempt takes the oldest pending input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimInput {
    /// The fence.
    pub attempt_id: AttemptId,
    /// When.
    pub at: DateTime<Utc>,
}

/// The agent has the claimed input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AckInput {
    /// The fence.
    pub attempt_id: AttemptId,
    /// Which input.
    pub input_id: InputId,
    /// When.
    pub at: DateTime<Utc>,
}
