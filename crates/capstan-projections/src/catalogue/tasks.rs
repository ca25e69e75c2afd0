//! Where does each task stand?

use std::collections::BTreeMap;

use capstan_contract::DomainEvent;
use capstan_domain::id::{AgentId, RunId, TaskId};
use capstan_domain::policy::RunPolicy;
use capstan_domain::task::TaskState;
use capstan_domain::task::event::{
    AgendaItem, AttemptOutcome, BlockerKind, DropReason, Event, InputKind, InputSource, Priority, RunCause,
    TaskAccepted,
};
use capstan_domain::usage::Usage;
use capstan_envelope::Recorded;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::catalogue::blockers::OpenBlocker;
use crate::cell::{Cell, CellType, Column};
use crate::fact::Fact;
use crate::labels;
use crate::model::Model;
use crate::redaction::{shown, shown_labels};

/// The model.
#[derive(Debug)]
pub(crate) struct Tasks;

/// Why a task waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaitingReason {
    /// A question is open.
    Input,
    /// Something must be approved.
    Approval,
    /// A budget is spent.
    Budget,
    /// Subtasks are not over.
    Subtasks,
    /// An approved tool call is being carried out.
    ToolExecution,
}

impl From<BlockerKind> for WaitingReason {
    fn from(kind: BlockerKind) -> Self {
        match kind {
            BlockerKind::Input => Self::Input,
            BlockerKind::Approval => Self::Approval,
            BlockerKind::Budget => Self::Budget,
            BlockerKind::Subtasks => Self::Subtasks,
        }
    }
}

impl WaitingReason {
    /// The wire word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Approval => "approval",
            Self::Budget => "budget",
            Self::Subtasks => "subtasks",
            Self::ToolExecution => "tool_execution",
        }
    }
}

/// The kind of input a question of this kind takes.
pub(crate) fn input_kind(kind: BlockerKind) -> InputKind {
    match kind {
        BlockerKind::Approval => InputKind::ApproveReject,
        BlockerKind::Input | BlockerKind::Budget | BlockerKind::Subtasks => InputKind::FreeText,
    }
}

/// The command as it was frozen at acceptance.
#[derive(Serialize)]
struct Payload<'a> {
    message: &'a str,
    session_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_key: Option<&'a str>,
    agent_id: AgentId,
    #[serde(skip_serializing_if = "Option::is_none")]
    hook_id: Option<&'a str>,
    timeout_ms: i64,
    policy: &'a RunPolicy,
    #[serde(skip_serializing_if = "Option::is_none")]
    lane: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_system_prompt: Option<&'a str>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    input_provenance: &'a Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deliver: Option<bool>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    attachments: &'a [Map<String, Value>],
    instance_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spawned_by: Option<&'a str>,
    priority: Priority,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    agent_config: &'a Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_view_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue_ttl_ms: Option<i64>,
}

impl<'a> Payload<'a> {
    fn of(accepted: &'a TaskAccepted) -> Self {
        Self {
            message: &accepted.message,
            session_id: &accepted.session_id,
            session_key: accepted.session_key.as_deref(),
            agent_id: accepted.agent_id,
            hook_id: accepted.hook_id.as_deref(),
            timeout_ms: accepted.timeout_ms,
            policy: &accepted.policy,
            lane: accepted.lane.as_deref(),
            extra_system_prompt: accepted.extra_system_prompt.as_deref(),
            input_provenance: &accepted.input_provenance,
            deliver: accepted.deliver,
            attachments: &accepted.attachments,
            instance_key: &accepted.instance_key,
            label: accepted.label.as_deref(),
            spawned_by: accepted.spawned_by.as_deref(),
            priority: accepted.priority,
            provider: accepted.provider.as_deref(),
            model: accepted.model.as_deref(),
            agent_config: &accepted.agent_config,
            source_view_id: accepted.source_view_id.as_deref(),
            queue_ttl_ms: accepted.queue_ttl_ms,
        }
    }
}

/// A task as reads show it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct TaskRow {
    id: TaskId,
    workspace: String,
    agent_id: AgentId,
    agent_name: String,
    session_id: String,
    state: TaskState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    waiting_reason: Option<WaitingReason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    waiting_summary: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    input_kind: Option<InputKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    labels: BTreeMap<String, String>,
    priority: Priority,
    message: String,
    payload_json: Box<RawValue>,
    routing_json: Box<RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent_task_id: Option<TaskId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source_output_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target_run_id: Option<RunId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    current_blocker: Option<OpenBlocker>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    budget_usd: Option<f64>,
    cost_usd: f64,
    /// What its children that are over cost, with everything below them.
    #[serde(default)]
    subtasks_cost_usd: f64,
    /// The same by child.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    subtask_costs_usd: BTreeMap<TaskId, f64>,
    usage: Usage,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wake_at: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wake_reason: Option<String>,
    wake_agenda: Vec<AgendaItem>,
    wake_count: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deadline: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dropped_reason: Option<DropReason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    archived_at: Option<DateTime<Utc>>,
    accepted_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    queued_at: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dispatched_at: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    finished_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    version: u64,
}

impl Model for Tasks {
    const NAME: &'static str = "tasks";
    const VERSION: i32 = 4;
    const SCHEMA: &'static str = include_str!("../../../../projections/tasks/schema.sql");
    const COLUMNS: &'static [Column] = &[
        Column::fixed("agent_id", CellType::Uuid),
        Column::changing("state", CellType::Text),
        Column::changing("open", CellType::Flag),
        Column::changing("priority", CellType::Text),
        Column::changing("label", CellType::Text),
        Column::changing("labels", CellType::Text),
        Column::fixed("parent_task_id", CellType::Uuid),
        Column::fixed("source_output_id", CellType::Text),
        Column::changing("archived", CellType::Flag),
        Column::changing("waiting_reason", CellType::Text),
        Column::fixed("created_at", CellType::Time),
        Column::changing("updated_at", CellType::Time),
    ];
    type Key = Uuid;
    type Row = TaskRow;

    fn keys(recorded: &Recorded, event: &DomainEvent, keys: &mut Vec<Uuid>) {
        if let (DomainEvent::Task(_), Ok(id)) = (event, Uuid::parse_str(recorded.commit.stream.id())) {
            keys.push(id);
        }
    }

    fn apply(row: Option<TaskRow>, _: &Uuid, fact: &Fact<'_>) -> Option<TaskRow> {
        let Some((event, accepted)) = fact.task_event() else { return row };
        let mut row = row.unwrap_or_else(|| begin(accepted));
        change(&mut row, event, accepted);
        row.updated_at = fact.occurred_at();
        row.version = fact.version();
        Some(row)
    }

    fn cells(row: &TaskRow) -> Vec<Cell<'_>> {
        vec![
            Cell::Uuid(Some(row.agent_id.0)),
            Cell::text(row.state.as_str()),
            Cell::Flag(Some(!row.state.is_terminal())),
            Cell::text(row.priority.as_str()),
            Cell::text_or_null(row.label.as_deref()),
            Cell::text(labels::column(&row.labels)),
            Cell::Uuid(row.parent_task_id.map(|id| id.0)),
            Cell::text_or_null(row.source_output_id.as_deref()),
            Cell::Flag(Some(row.archived_at.is_some())),
            Cell::text_or_null(row.waiting_reason.map(WaitingReason::as_str)),
            Cell::Time(Some(row.created_at)),
            Cell::Time(Some(row.updated_at)),
        ]
    }
}

fn begin(accepted: &TaskAccepted) -> TaskRow {
    TaskRow {
        id: accepted.task_id,
        workspace: accepted.workspace.clone(),
        agent_id: accepted.agent_id,
        agent_name: accepted.agent_name.clone(),
        session_id: accepted.session_id.clone(),
        state: TaskState::Queued,
        waiting_reason: None,
        waiting_summary: None,
        input_kind: None,
        label: accepted.label.clone(),
        labels: shown_labels(&accepted.labels),
        priority: accepted.priority,
        message: accepted.message.clone(),
        payload_json: shown(&Payload::of(accepted)),
        routing_json: shown(&accepted.routing),
        parent_task_id: accepted.parent_task_id,
        source_output_id: accepted.source_output_id.clone(),
        target_run_id: None,
        current_blocker: None,
        budget_usd: accepted.budget_usd,
        cost_usd: 0.0,
        subtasks_cost_usd: 0.0,
        subtask_costs_usd: BTreeMap::new(),
        usage: Usage::default(),
        wake_at: None,
        wake_reason: None,
        wake_agenda: Vec::new(),
        wake_count: 0,
        deadline: accepted.deadline,
        dropped_reason: None,
        error: None,
        archived_at: None,
        accepted_at: accepted.accepted_at,
        queued_at: None,
        dispatched_at: None,
        finished_at: None,
        created_at: accepted.accepted_at,
        updated_at: accepted.accepted_at,
        version: 0,
    }
}

fn change(row: &mut TaskRow, event: &Event, accepted: &TaskAccepted) {
    match event {
        Event::RunRequested(e) => {
            requeue(row, e.queued_at);
            row.target_run_id = Some(e.run_id);
            row.finished_at = None;
            row.error = None;
            row.dropped_reason = None;
            match e.cause {
                RunCause::Wake => row.wake_count = row.wake_count.saturating_add(1),
                RunCause::Retry => row.wake_count = 0,
                _ => {}
            }
            awake(row);
        }
        Event::AttemptLeased(e) => {
            row.state = TaskState::Running;
            row.dispatched_at = Some(e.leased_at);
        }
        // As in the decider: a lost attempt puts its run back in the queue.
        Event::AttemptEnded(e) if e.outcome == AttemptOutcome::Lost && row.state == TaskState::Running => {
            requeue(row, e.ended_at);
        }
        Event::RetryScheduled(e) => requeue(row, e.available_at),
        Event::TaskContinued(_) => row.state = TaskState::Running,
        Event::TaskSlept(e) => {
            row.state = TaskState::Sleeping;
            row.queued_at = None;
            row.dispatched_at = None;
            row.wake_at = Some(e.wake_at);
            row.wake_reason.clone_from(&e.reason);
            row.wake_agenda.clone_from(&e.agenda);
        }
        Event::TaskDone(e) => end(row, TaskState::Done, e.at),
        Event::TaskFailed(e) => {
            row.error = Some(e.error.clone());
            end(row, TaskState::Error, e.at);
        }
        Event::TaskCancelled(e) => end(row, TaskState::Cancelled, e.at),
        Event::TaskDropped(e) => {
            row.dropped_reason = Some(e.reason);
            end(row, TaskState::Dropped, e.at);
        }
        Event::BlockerOpened(e) => {
            row.state = TaskState::Waiting;
            row.waiting_reason = Some(e.kind.into());
            row.waiting_summary = Some(e.summary.clone());
            row.input_kind = Some(input_kind(e.kind));
            row.current_blocker = Some(OpenBlocker::of(e));
            row.queued_at = None;
            awake(row);
        }
        Event::BlockerUpdated(e) => {
            if let Some(blocker) = row.current_blocker.as_mut().filter(|blocker| blocker.id == e.blocker_id) {
                blocker.update(e);
                row.waiting_summary = Some(e.summary.clone());
            }
        }
        Event::BlockerVoted(e) => {
            if let Some(blocker) = row.current_blocker.as_mut().filter(|blocker| blocker.id == e.blocker_id) {
                blocker.approved_by.push(e.by.clone());
            }
        }
        Event::BlockerClosed(e)
            if row.current_blocker.as_ref().is_some_and(|blocker| blocker.id == e.blocker_id) =>
        {
            row.waiting_reason = None;
            row.waiting_summary = None;
            row.input_kind = None;
            row.current_blocker = None;
        }
        Event::UsageRecorded(e) => {
            row.usage.add(&e.usage);
            row.cost_usd = row.usage.cost_usd;
        }
        Event::TaskArchived(e) => row.archived_at = Some(e.at),
        Event::TaskUnarchived(_) => row.archived_at = None,
        Event::TaskReprioritised(e) => row.priority = e.priority,
        Event::TaskBudgetSet(e) => row.budget_usd = e.budget_usd,
        Event::TaskLabelled(e) => {
            row.label.clone_from(&e.label);
            row.labels.clone_from(&e.labels);
        }
        Event::TaskDeadlineSet(e) => row.deadline = e.deadline,
        Event::TaskRoutingSet(e) => row.routing_json = shown(&e.routing),
        Event::ToolCallDecided(e) if e.executor.is_some() => {
            row.waiting_reason = Some(WaitingReason::ToolExecution);
        }
        Event::ToolExecutionEnded(_) if row.current_blocker.is_none() => row.waiting_reason = None,
        Event::SubtaskEnded(e) => {
            // A child that was opened again tells its end again, with all it cost.
            row.subtask_costs_usd.insert(e.task_id, e.cost_usd);
            row.subtasks_cost_usd = row.subtask_costs_usd.values().sum();
        }
        Event::InputAccepted(e) if e.source == InputSource::Caller => row.wake_count = 0,
        Event::TaskPayloadSet(_) => change_payload(row, accepted),
        // The others change the task's version and nothing else of its object.
        _ => {}
    }
}

fn change_payload(row: &mut TaskRow, accepted: &TaskAccepted) {
    row.message.clone_from(&accepted.message);
    row.payload_json = shown(&Payload::of(accepted));
}

fn requeue(row: &mut TaskRow, at: DateTime<Utc>) {
    row.state = TaskState::Queued;
    row.queued_at = Some(at);
    row.dispatched_at = None;
}

fn awake(row: &mut TaskRow) {
    row.wake_at = None;
    row.wake_reason = None;
    row.wake_agenda.clear();
}

fn end(row: &mut TaskRow, state: TaskState, at: DateTime<Utc>) {
    row.state = state;
    row.finished_at = Some(at);
    awake(row);
}
