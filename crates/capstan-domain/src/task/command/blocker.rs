//! Commands that open questions and let them expire.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::id::{AttemptId, BlockerId, InputId, OutputId};
use crate::task::event::{Approvers, BlockerKind, DeadlineDefault, Question};

/// A question to open.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BlockerSpec {
    /// In one line.
    pub summary: String,
    /// Further details.
    pub details: Option<String>,
    /// The single questions.
    pub questions: Vec<Question>,
    /// `Input` when absent, or `Approval`.
    pub kind: Option<BlockerKind>,
    /// The outputs to be decided on; an approval without any is about what waits for one.
    pub items: Vec<BlockerItemSpec>,
    /// Names the outputs and decisions that belong together.
    pub wait_group_id: Option<String>,
    /// JSON Schema the answers must satisfy.
    pub answer_schema: Option<Value>,
    /// Its deadline, and the default when nobody answers.
    pub deadline: Option<DeadlineSpec>,
    /// The approvals it requires.
    pub approvers: Option<Approvers>,
    /// Earlier inputs that satisfy the schema, as checked by the sender of the command.
    pub fitting: Vec<InputId>,
}

/// An output a question is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockerItemSpec {
    /// The output.
    pub output_id: OutputId,
    /// The agent's key for the item.
    pub item_key: Option<String>,
}

/// The requested deadline of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadlineSpec {
    /// At this instant.
    pub at: Option<DateTime<Utc>>,
    /// Delay in milliseconds.
    pub after_ms: Option<i64>,
    /// The default when nobody answers.
    pub default: DeadlineDefault,
}

/// The live attempt asks a question.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenBlocker {
    /// The attempt that reports it.
    pub attempt_id: AttemptId,
    /// The question.
    pub blocker: BlockerSpec,
}

/// The deadline of a question passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpireBlocker {
    /// Id of the question.
    pub blocker_id: BlockerId,
    /// Grace of a worker that must stop, in milliseconds.
    pub grace_ms: i64,
}
