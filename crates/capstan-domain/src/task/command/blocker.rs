//! Requests that open questions and let them pass.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::id::{AttemptId, BlockerId, InputId, OutputId};
use crate::task::event::{Approvers, BlockerKind, DeadlineDefault, Question};

/// A question to open.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BlockerSpec {
    /// In one line.
    pub summary: String,
    /// More about it.
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
    /// When and how it ends without an answer.
    pub deadline: Option<DeadlineSpec>,
    /// Whose approval it takes.
    pub approvers: Option<Approvers>,
    /// Inputs said before that satisfy the schema, as checked by whoever sends the command.
    pub fitting: Vec<InputId>,
}

/// An output a question is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockerItemSpec {
    /// The output.
    pub output_id: OutputId,
    /// What it is about, as the agent names it.
    pub item_key: Option<String>,
}

/// When and how a question is to end without an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadlineSpec {
    /// At this instant.
    pub at: Option<DateTime<Utc>>,
    /// After so many milliseconds.
    pub after_ms: Option<i64>,
    /// How.
    pub default: DeadlineDefault,
}

/// The live attempt asks something.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenBlocker {
    /// The fence.
    pub attempt_id: AttemptId,
    /// The question.
    pub blocker: BlockerSpec,
    /// When.
    pub at: DateTime<Utc>,
}

/// The time a question had is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpireBlocker {
    /// Which question.
    pub blocker_id: BlockerId,
    /// How long a worker that must stop has, in milliseconds.
    pub grace_ms: i64,
    /// When.
    pub at: DateTime<Utc>,
}
