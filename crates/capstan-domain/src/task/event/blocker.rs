//! Questions a task waits on.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::subtask::JoinWait;
use crate::id::{BlockerId, InputId, OutputId, RunId, ToolCallId};

stored! {
/// The task waits for an answer.
pub struct BlockerOpened {
    /// The question's identity.
    pub blocker_id: BlockerId,
    /// Counts the task's blockers, from 1.
    pub revision: u32,
    /// The run that asked.
    pub run_id: RunId,
    /// What kind of answer is wanted.
    pub kind: BlockerKind,
    /// The question in one line.
    pub summary: String,
    /// More about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
    /// The single questions, when there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub questions: Vec<Question>,
    /// The outputs to be decided on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<BlockerItem>,
    /// Names the outputs and decisions that belong together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_group_id: Option<String>,
    /// JSON Schema the answers must satisfy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_schema: Option<Value>,
    /// When and how it ends without an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<BlockerDeadline>,
    /// Whose approval it takes; anybody's single one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvers: Option<Approvers>,
    /// The tool call it decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<ToolCallId>,
    /// The subtasks it waits for, and for how many of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join: Option<JoinWait>,
    /// The budget it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetScope>,
    /// When it was asked.
    pub opened_at: DateTime<Utc>,
}

/// One question of a blocker.
pub struct Question {
    /// Names the question in the answer.
    pub id: String,
    /// The question.
    pub text: String,
}

/// The question is answered or no longer asked.
pub struct BlockerClosed {
    /// Which question.
    pub blocker_id: BlockerId,
    /// How it ended.
    pub status: BlockerStatus,
    /// The input that answered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_id: Option<InputId>,
    /// How it was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<Resolution>,
    /// When.
    pub closed_at: DateTime<Utc>,
}

/// An output to be decided on.
pub struct BlockerItem {
    /// The output.
    pub output_id: OutputId,
    /// Its title when it was asked about.
    pub title: String,
    /// What it is about, as the agent named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_key: Option<String>,
}

/// When and how a question ends without an answer.
pub struct BlockerDeadline {
    /// When.
    pub at: DateTime<Utc>,
    /// How.
    pub default: DeadlineDefault,
}

/// Whose approval a question takes.
pub struct Approvers {
    /// How many different ones.
    pub required: u32,
    /// Who may, by actor name; anybody but the requester when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub among: Vec<String>,
}

/// A decision on one output.
pub struct ItemDecision {
    /// The output.
    pub output_id: OutputId,
    /// Yes or no.
    pub action: Decision,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How a question was answered.
pub struct Resolution {
    /// Yes, no, or both; absent for a free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Verdict>,
    /// The single decisions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<ItemDecision>,
    /// What was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Who answered, by actor name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The question that took its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<BlockerId>,
}

/// The open question was asked again in other words: it stays the same question.
pub struct BlockerUpdated {
    /// Which question.
    pub blocker_id: BlockerId,
    /// The question in one line.
    pub summary: String,
    /// More about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
    /// The single questions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub questions: Vec<Question>,
    /// The outputs to be decided on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<BlockerItem>,
    /// When.
    pub at: DateTime<Utc>,
}

/// One of several needed approvals was given.
pub struct BlockerVoted {
    /// Which question.
    pub blocker_id: BlockerId,
    /// The input that said so.
    pub input_id: InputId,
    /// Who, by actor name.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
}
}

choice! {
/// What kind of answer a blocker wants.
pub enum BlockerKind {
    /// A free text, or answers to its questions.
    Input,
    /// A yes or no, perhaps for each of several outputs.
    Approval,
    /// More money.
    Budget,
    /// The end of subtasks; no person need answer.
    Subtasks,
}

/// Where a blocker stands.
pub enum BlockerStatus {
    /// Waits for its answer.
    Open,
    /// Answered.
    Resolved,
    /// Another blocker took its place.
    Superseded,
    /// Its time ran out.
    Expired,
    /// Its task or run ended.
    Cancelled,
}

/// How a question ends when its time runs out.
pub enum DeadlineDefault {
    /// As if approved.
    Approve,
    /// As if rejected.
    Reject,
    /// The task fails.
    Fail,
    /// The task goes on without an answer.
    None,
}

/// A yes or no.
pub enum Decision {
    /// Yes.
    Approve,
    /// No.
    Reject,
}

/// What decisions on several things come to.
pub enum Verdict {
    /// Yes to all.
    Approve,
    /// No to all.
    Reject,
    /// Yes to some, no to others.
    Mixed,
}

/// Whose money ran out.
pub enum BudgetScope {
    /// The task's, with everything below it.
    Task,
    /// The agent's.
    Agent,
    /// The workspace's for the day.
    Workspace,
}
}

impl BudgetScope {
    /// The wire word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Agent => "agent",
            Self::Workspace => "workspace",
        }
    }
}

impl From<Decision> for Verdict {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Approve => Self::Approve,
            Decision::Reject => Self::Reject,
        }
    }
}

impl Verdict {
    /// The verdict of several decisions; none of no decision.
    pub(crate) fn from_items(items: &[ItemDecision]) -> Option<Self> {
        let first = items.first()?.action;
        let is_mixed = items.iter().any(|item| item.action != first);
        Some(if is_mixed { Self::Mixed } else { first.into() })
    }
}
