//! The questions to people, open and closed.

use capstan_contract::query::WaitingReason;
use capstan_contract::schema::NamedSchema;
use capstan_domain::id::{AgentId, BlockerId, InputId, RunId, TaskId, ToolCallId};
use capstan_domain::task::event::{
    Approvers, BlockerDeadline, BlockerItem, BlockerKind, BlockerOpened, BlockerStatus, BlockerUpdated,
    BudgetScope, InputKind, JoinWait, Question, Resolution, TaskAccepted,
};
use capstan_domain::task::state::Blocker;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::cell::{Cell, CellType, Column};
use crate::events::task_events;
use crate::fact::Fact;
use crate::model::{Model, Stored};
use crate::redaction::shown_value;

/// A blocker as last updated, without its resolution.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "CurrentBlocker")]
pub struct OpenBlocker {
    pub(crate) id: BlockerId,
    kind: BlockerKind,
    input_kind: InputKind,
    status: BlockerStatus,
    run_id: RunId,
    summary: String,
    details: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    questions: Vec<Question>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    items: Vec<BlockerItem>,
    wait_group_id: Option<String>,
    // Not its text: what is flattened into a row cannot be read back as one.
    /// JSON Schema the answers must satisfy.
    answer_schema: Option<Value>,
    deadline: Option<BlockerDeadline>,
    approvers: Option<Approvers>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) approved_by: Vec<String>,
    tool_call_id: Option<ToolCallId>,
    join: Option<JoinWait>,
    budget: Option<BudgetScope>,
    revision: u32,
    created_at: DateTime<Utc>,
}

impl OpenBlocker {
    pub(crate) fn from_opened(opened: &BlockerOpened) -> Self {
        Self {
            id: opened.blocker_id,
            kind: opened.kind,
            input_kind: input_kind(opened.kind),
            status: BlockerStatus::Open,
            run_id: opened.run_id,
            summary: opened.summary.clone(),
            details: opened.details.clone(),
            questions: opened.questions.clone(),
            items: opened.items.clone(),
            wait_group_id: opened.wait_group_id.clone(),
            answer_schema: opened.answer_schema.as_ref().map(shown_value),
            deadline: opened.deadline.clone(),
            approvers: opened.approvers.clone(),
            approved_by: Vec::new(),
            tool_call_id: opened.tool_call_id,
            join: opened.join.clone(),
            budget: opened.budget,
            revision: opened.revision,
            created_at: opened.opened_at,
        }
    }

    /// The question a task waits on, as last asked.
    pub(crate) fn from_blocker(blocker: &Blocker) -> Self {
        Self { approved_by: blocker.votes.clone(), ..Self::from_opened(&blocker.opened) }
    }

    pub(crate) fn update(&mut self, updated: &BlockerUpdated) {
        self.summary.clone_from(&updated.summary);
        self.details.clone_from(&updated.details);
        self.questions.clone_from(&updated.questions);
        self.items.clone_from(&updated.items);
    }
}

/// A blocker as the API returns it.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct BlockerRow {
    #[serde(flatten)]
    opened: OpenBlocker,
    task_id: TaskId,
    agent_id: AgentId,
    agent_name: String,
    task_label: Option<String>,
    input_id: Option<InputId>,
    resolution: Option<Resolution>,
    updated_at: DateTime<Utc>,
    resolved_at: Option<DateTime<Utc>>,
}

task_events! {
    /// Events of a blocker.
    #[expect(clippy::enum_variant_names, reason = "the variants have the names of the events")]
    BlockerEvent reads {
        BlockerOpened, BlockerUpdated, BlockerVoted, BlockerClosed,
    } ignores {
        TaskAccepted, RunRequested, AttemptLeased, AttemptStarted, AttemptCancelRequested, AttemptEnded,
        RetryScheduled, RunEnded, UsageRecorded, TaskContinued, TaskSlept, TaskDone, TaskFailed,
        TaskCancelled, TaskDropped, TaskArchived, TaskUnarchived, TaskReprioritised, TaskBudgetSet,
        TaskLabelled, TaskDeadlineSet, TaskRoutingSet, TaskPayloadSet, InputAccepted, InputClaimed,
        InputReturned, InputDeferred, InputConsumed, OutputProduced, OutputRowsAppended, OutputFinalized,
        OutputStatusChanged, OutputArchived, ToolCallDeferred, ToolCallAllowed, ToolCallDecided,
        ToolExecutionStarted, ToolExecutionEnded, SubtasksSpawned, SubtaskEnded, ParentTold, WatchArmed,
        WatchFired, WatchDisarmed, BudgetWarned, BudgetExceeded,
    }
}

impl Model for BlockerRow {
    const VERSION: i32 = 4;
    const COLUMNS: &'static [Column<Self>] = &[
        Column::fixed("task_id", CellType::Uuid, |row| Cell::Uuid(Some(row.task_id.0))),
        Column::fixed("agent_id", CellType::Uuid, |row| Cell::Uuid(Some(row.agent_id.0))),
        Column::fixed("kind", CellType::Text, |row| {
            Cell::text(WaitingReason::from(row.opened.kind).as_str())
        }),
        Column::changing("open", CellType::Flag, |row| {
            Cell::Flag(Some(row.opened.status == BlockerStatus::Open))
        }),
        Column::fixed("created_at", CellType::Time, |row| Cell::Time(Some(row.opened.created_at))),
    ];
    const ANSWER: Option<NamedSchema> = Some(NamedSchema::of_answer::<BlockerRow>("blocker"));
    type Event<'a> = BlockerEvent<'a>;
    type Key = Uuid;

    fn keys(fact: &Fact<'_, Self::Event<'_>>, keys: &mut Vec<Uuid>) {
        keys.push(match fact.event {
            BlockerEvent::BlockerOpened(e) => e.blocker_id.0,
            BlockerEvent::BlockerUpdated(e) => e.blocker_id.0,
            BlockerEvent::BlockerVoted(e) => e.blocker_id.0,
            BlockerEvent::BlockerClosed(e) => e.blocker_id.0,
        });
    }

    fn apply(row: Option<Self>, _: &Uuid, fact: &Fact<'_, Self::Event<'_>>) -> Option<Self> {
        let mut row = match (row, fact.event) {
            (_, BlockerEvent::BlockerOpened(opened)) => begin(opened, fact.accepted?),
            (row, _) => row?,
        };
        match fact.event {
            BlockerEvent::BlockerOpened(_) => {}
            BlockerEvent::BlockerUpdated(updated) => row.opened.update(updated),
            BlockerEvent::BlockerVoted(vote) => row.opened.approved_by.push(vote.by.clone()),
            BlockerEvent::BlockerClosed(closed) => {
                row.opened.status = closed.status;
                row.input_id = closed.input_id;
                row.resolution.clone_from(&closed.resolution);
                row.resolved_at = Some(closed.closed_at);
            }
        }
        row.updated_at = fact.occurred_at();
        Some(row)
    }

    fn read(_: &Uuid, stored: &Stored<'_>) -> serde_json::Result<Self> {
        serde_json::from_str(stored.doc)
    }
}

fn begin(opened: &BlockerOpened, accepted: &TaskAccepted) -> BlockerRow {
    BlockerRow {
        opened: OpenBlocker::from_opened(opened),
        task_id: accepted.task_id,
        agent_id: accepted.agent_id,
        agent_name: accepted.agent_name.clone(),
        task_label: accepted.label.clone(),
        input_id: None,
        resolution: None,
        updated_at: opened.opened_at,
        resolved_at: None,
    }
}

/// The kind of input that answers a blocker of this kind.
pub(crate) fn input_kind(kind: BlockerKind) -> InputKind {
    match kind {
        BlockerKind::Approval => InputKind::ApproveReject,
        BlockerKind::Input | BlockerKind::Budget | BlockerKind::Subtasks => InputKind::FreeText,
    }
}
