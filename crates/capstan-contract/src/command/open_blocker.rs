use capstan_domain::id::OutputId;
use capstan_domain::task::command::{BlockerItemSpec, BlockerSpec, DeadlineSpec};
use capstan_domain::task::event::{Approvers, BlockerKind, DeadlineDefault, Question};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The agent asks something and waits for the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    pub questions: Vec<BlockerQuestion>,
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
    pub approvers: Option<AskedApprovers>,
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

/// Required approvers of a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AskedApprovers {
    /// Number of different approvers.
    pub required: u32,
    /// Actor names that may approve; anybody but the requester when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub among: Vec<String>,
}

/// One of several questions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BlockerQuestion {
    /// Names the question in the answer.
    pub id: String,
    /// The question.
    pub text: String,
}

impl From<OpenBlocker> for BlockerSpec {
    fn from(body: OpenBlocker) -> Self {
        let question = |BlockerQuestion { id, text }| Question { id, text };
        let named = |AskedItem { output_id, item_key }| BlockerItemSpec { output_id, item_key };
        let plain = |output_id| BlockerItemSpec { output_id, item_key: None };
        Self {
            summary: body.summary,
            details: body.details,
            questions: body.questions.into_iter().map(question).collect(),
            kind: body.kind.map(|kind| match kind {
                AskedKind::Input => BlockerKind::Input,
                AskedKind::Approval => BlockerKind::Approval,
            }),
            items: body.items.into_iter().map(named).chain(body.output_ids.into_iter().map(plain)).collect(),
            wait_group_id: body.wait_group_id,
            answer_schema: body.answer_schema,
            deadline: body.deadline.map(|AskedDeadline { at, after_ms, default }| DeadlineSpec {
                at,
                after_ms,
                default,
            }),
            approvers: body.approvers.map(|AskedApprovers { required, among }| Approvers { required, among }),
            fitting: Vec::new(),
        }
    }
}
