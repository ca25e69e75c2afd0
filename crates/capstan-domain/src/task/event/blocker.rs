//! Questions a task waits on.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::subtask::JoinWait;
use crate::id::{BlockerId, InputId, OutputId, RunId, ToolCallId};
use crate::implied::{self, At};

stored! {
/// The task waits for an answer.
pub struct BlockerOpened {
    /// Counts the task's blockers, from 1.
    #[serde(with = "implied::revision")]
    #[schemars(with = "u32")]
    pub revision: u32,
    /// The question's identity.
    #[serde_with(skip_apply)]
    #[serde(default = "implied::numbered_blocker", with = "implied::blocker")]
    #[serde(skip_serializing_if = "implied::is_numbered_blocker")]
    #[schemars(with = "implied::DrawnBlocker", transform = implied::drawn)]
    pub blocker_id: BlockerId,
    /// The run that asked.
    pub run_id: RunId,
    /// The kind of answer it requires.
    #[serde(with = "implied::blocker_kind")]
    #[schemars(with = "BlockerKind")]
    pub kind: BlockerKind,
    /// The question in one line.
    #[serde(default = "implied::summary", with = "implied::summary")]
    #[serde(skip_serializing_if = "implied::is_summary")]
    #[schemars(with = "String", transform = implied::drawn)]
    pub summary: String,
    /// Further details.
    #[serde(default = "implied::details", skip_serializing_if = "implied::is_details")]
    #[schemars(transform = implied::drawn)]
    pub details: Option<String>,
    /// The single questions, when there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub questions: Vec<Question>,
    /// The outputs to be decided on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<BlockerItem>,
    /// Names the outputs and decisions that belong together.
    pub wait_group_id: Option<String>,
    /// JSON Schema the answers must satisfy.
    pub answer_schema: Option<Value>,
    /// Its deadline, and the default when nobody answers.
    pub deadline: Option<BlockerDeadline>,
    /// The approvals it requires; any single one when absent.
    pub approvers: Option<Approvers>,
    /// The tool call it decides.
    #[serde(default = "implied::optional_tool_call", skip_serializing_if = "implied::is_optional_tool_call")]
    #[schemars(transform = implied::drawn)]
    pub tool_call_id: Option<ToolCallId>,
    /// The subtasks it waits for, and for how many of them.
    pub join: Option<JoinWait>,
    /// The budget it waits for.
    pub budget: Option<BudgetScope>,
    /// The time of the question.
    pub opened_at: At,
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
    /// Id of the question.
    pub blocker_id: BlockerId,
    /// Its outcome.
    pub status: BlockerStatus,
    /// The input that answered it.
    #[serde(default = "implied::optional_input", skip_serializing_if = "implied::is_optional_input")]
    #[schemars(transform = implied::drawn)]
    pub input_id: Option<InputId>,
    /// The answer.
    pub resolution: Option<Resolution>,
    /// Time of the event.
    pub closed_at: At,
}

/// An output to be decided on.
pub struct BlockerItem {
    /// The output.
    pub output_id: OutputId,
    /// Its title when it was asked about.
    pub title: String,
    /// The agent's key for the item.
    pub item_key: Option<String>,
}

/// The deadline of a question.
pub struct BlockerDeadline {
    /// The instant of the deadline.
    pub at: DateTime<Utc>,
    /// The default when nobody answers.
    pub default: DeadlineDefault,
}

/// The approvals a question requires.
pub struct Approvers {
    /// Number of different approvers.
    pub required: u32,
    /// The approvers, by actor name; everyone but the requester when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub among: Vec<String>,
}

/// A decision on one output.
pub struct ItemDecision {
    /// The output.
    pub output_id: OutputId,
    /// Approve or reject.
    pub action: Decision,
    /// The reason, for people.
    #[serde(default, with = "implied::optional_told")]
    #[schemars(with = "Option<String>")]
    pub reason: Option<String>,
}

/// The answer to a question.
pub struct Resolution {
    /// The decision as a whole; absent for a free text.
    #[serde(default = "implied::action", skip_serializing_if = "implied::is_action")]
    #[schemars(transform = implied::drawn)]
    pub action: Option<Verdict>,
    /// The single decisions.
    #[serde(default = "implied::items", skip_serializing_if = "implied::is_items")]
    #[schemars(transform = implied::drawn)]
    pub items: Vec<ItemDecision>,
    /// The message of the answer.
    #[serde(default = "implied::spoken", skip_serializing_if = "implied::is_spoken")]
    #[schemars(transform = implied::drawn)]
    pub message: Option<String>,
    /// The actor that answered, by name.
    #[serde(default = "implied::client", skip_serializing_if = "implied::is_client")]
    #[schemars(transform = implied::drawn)]
    pub by: Option<String>,
    /// The question that took its place.
    pub superseded_by: Option<BlockerId>,
}

/// The open question was asked again in other words: it stays the same question.
pub struct BlockerUpdated {
    /// Id of the question.
    pub blocker_id: BlockerId,
    /// The question in one line.
    #[serde(with = "implied::summary")]
    #[schemars(with = "String")]
    pub summary: String,
    /// Further details.
    #[serde(default = "implied::summarised", skip_serializing_if = "implied::is_summarised")]
    #[schemars(transform = implied::drawn)]
    pub details: Option<String>,
    /// The single questions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub questions: Vec<Question>,
    /// The outputs to be decided on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<BlockerItem>,
    /// Time of the event.
    pub at: At,
}

/// One of several needed approvals was given.
pub struct BlockerVoted {
    /// Id of the question.
    pub blocker_id: BlockerId,
    /// The input with the vote.
    #[serde(default = "implied::input", skip_serializing_if = "implied::is_input")]
    #[schemars(transform = implied::drawn)]
    pub input_id: InputId,
    /// The voter, by actor name.
    #[serde(default = "implied::caller", skip_serializing_if = "implied::is_caller")]
    #[schemars(transform = implied::drawn)]
    pub by: String,
    /// Time of the event.
    pub at: At,
}
}

choice! {
/// The kind of answer a blocker requires.
pub enum BlockerKind {
    /// A free text, or answers to its questions.
    Input = "input",
    /// A decision, perhaps for each of several outputs.
    Approval = "approval",
    /// A larger budget.
    Budget = "budget",
    /// The end of subtasks; no person has to answer.
    Subtasks = "subtasks",
}

/// The status of a blocker.
pub enum BlockerStatus {
    /// Waits for its answer.
    Open = "open",
    /// It was answered.
    Resolved = "resolved",
    /// Another blocker took its place.
    Superseded = "superseded",
    /// Its time ran out.
    Expired = "expired",
    /// Its task or run ended.
    Cancelled = "cancelled",
}

/// The end of a question nobody answered in time.
pub enum DeadlineDefault {
    /// As if approved.
    Approve = "approve",
    /// As if rejected.
    Reject = "reject",
    /// The task fails.
    Fail = "fail",
    /// The task continues without an answer.
    None = "none",
}

/// A decision.
pub enum Decision {
    /// The item is approved.
    Approve = "approve",
    /// The item is rejected.
    Reject = "reject",
}

/// The sum of several decisions.
pub enum Verdict {
    /// All approved.
    Approve = "approve",
    /// All rejected.
    Reject = "reject",
    /// Some approved, others rejected.
    Mixed = "mixed",
}

/// The owner of a budget.
pub enum BudgetScope {
    /// The task's, with everything below it.
    Task = "task",
    /// The agent's.
    Agent = "agent",
    /// The workspace's for the day.
    Workspace = "workspace",
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
