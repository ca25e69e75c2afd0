//! Commands that open questions and let them expire.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::{BlockerId, OutputId};
use crate::task::event::{Approvers, BlockerKind, DeadlineDefault, Question};

/// The agent asks something and waits for the answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OpenBlocker {
    /// Kind of the expected answer; `input` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<AskedKind>,
    /// The question in one line.
    pub summary: String,
    /// Details for the person who answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
    /// The single questions, when there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub questions: Vec<Question>,
    /// The outputs to be decided on; an approval that names none is about those that wait for one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub output_ids: Vec<OutputId>,
    /// The same with a name for each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<AskedItem>,
    /// Names the outputs and decisions that belong together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_group_id: Option<String>,
    /// JSON Schema the answers must satisfy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_schema: Option<Value>,
    /// Deadline, and the outcome when no answer arrives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<AskedDeadline>,
    /// Required approvers; a single approval of anybody when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvers: Option<Approvers>,
}

/// Kind of the expected answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AskedKind {
    /// A text, or answers to its questions.
    Input,
    /// A yes or no, perhaps for each of several outputs.
    Approval,
}

impl From<AskedKind> for BlockerKind {
    fn from(kind: AskedKind) -> Self {
        match kind {
            AskedKind::Input => Self::Input,
            AskedKind::Approval => Self::Approval,
        }
    }
}

/// An output a question is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AskedItem {
    /// The output.
    pub output_id: OutputId,
    /// Key of the item, chosen by the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_key: Option<String>,
}

/// Deadline of a question, at an instant or after a delay, and its outcome when no answer arrives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AskedDeadline {
    /// At this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime<Utc>>,
    /// Delay in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_ms: Option<i64>,
    /// As if approved or rejected, with the failure of the task, or with a note that nobody answered.
    pub default: DeadlineDefault,
}

/// The deadline of a question passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpireBlocker {
    /// Id of the question.
    pub blocker_id: BlockerId,
    /// Grace of a worker that must stop, in milliseconds.
    pub grace_ms: i64,
}
