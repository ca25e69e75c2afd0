//! The row of a task, and the changes each event makes to it.

use std::collections::BTreeMap;

use capstan_contract::query::WaitingReason;
use capstan_domain::id::{AgentId, BlockerId, RunId, TaskId};
use capstan_domain::task::TaskState;
use capstan_domain::task::event::{
    AgendaItem, AttemptOutcome, BlockerOpened, BlockerUpdated, DropReason, Event, InputKind, InputSource,
    Priority, RunCause, RunRequested, TaskAccepted, TaskSlept,
};
use capstan_domain::usage::Usage;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::payload::Payload;
use crate::catalogue::blockers::OpenBlocker;
use crate::catalogue::blockers::input_kind;
use crate::redaction::{shown, shown_labels};

/// A task as the API returns it.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Task")]
pub struct TaskRow {
    id: TaskId,
    workspace: String,
    pub(super) agent_id: AgentId,
    agent_name: String,
    session_id: String,
    pub(super) state: TaskState,
    pub(super) waiting_reason: Option<WaitingReason>,
    waiting_summary: Option<String>,
    input_kind: Option<InputKind>,
    pub(super) label: Option<String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) priority: Priority,
    message: String,
    #[schemars(with = "Payload<'static>")]
    payload_json: Box<RawValue>,
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    routing_json: Box<RawValue>,
    pub(super) parent_task_id: Option<TaskId>,
    pub(super) source_output_id: Option<String>,
    target_run_id: Option<RunId>,
    current_blocker: Option<OpenBlocker>,
    budget_usd: Option<f64>,
    cost_usd: f64,
    /// Cost of the ended subtasks with their subtasks, in US dollars.
    #[serde(default)]
    subtasks_cost_usd: f64,
    /// The same by subtask.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    subtask_costs_usd: BTreeMap<TaskId, f64>,
    usage: Usage,
    wake_at: Option<DateTime<Utc>>,
    wake_reason: Option<String>,
    wake_agenda: Vec<AgendaItem>,
    wake_count: u32,
    deadline: Option<DateTime<Utc>>,
    dropped_reason: Option<DropReason>,
    error: Option<String>,
    pub(super) archived_at: Option<DateTime<Utc>>,
    accepted_at: DateTime<Utc>,
    queued_at: Option<DateTime<Utc>>,
    dispatched_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    pub(super) created_at: DateTime<Utc>,
    pub(super) updated_at: DateTime<Utc>,
    pub(super) version: u64,
}

impl TaskRow {
    /// The row of a task just accepted.
    pub(super) fn new(accepted: &TaskAccepted) -> Self {
        Self {
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
            payload_json: shown(&Payload::new(accepted)),
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

    /// Changes the fields an event concerns. `accepted` is the acceptance as changed by events so far.
    pub(super) fn change(&mut self, event: &Event, accepted: &TaskAccepted) {
        match event {
            Event::RunRequested(e) => self.request_run(e),
            Event::AttemptLeased(e) => {
                self.state = TaskState::Running;
                self.dispatched_at = Some(e.leased_at);
            }
            Event::AttemptEnded(e) => {
                // As in the decider: a lost attempt returns its run to the queue.
                if e.outcome == AttemptOutcome::Lost && self.state == TaskState::Running {
                    self.requeue(e.ended_at);
                }
            }
            Event::RetryScheduled(e) => self.requeue(e.available_at),
            Event::TaskContinued(_) => self.state = TaskState::Running,
            Event::TaskSlept(e) => self.sleep(e),
            Event::TaskDone(e) => self.end(TaskState::Done, e.at),
            Event::TaskFailed(e) => {
                self.error = Some(e.error.clone());
                self.end(TaskState::Error, e.at);
            }
            Event::TaskCancelled(e) => self.end(TaskState::Cancelled, e.at),
            Event::TaskDropped(e) => {
                self.dropped_reason = Some(e.reason);
                self.end(TaskState::Dropped, e.at);
            }
            Event::BlockerOpened(e) => self.open_blocker(e),
            Event::BlockerUpdated(e) => self.update_blocker(e),
            Event::BlockerVoted(e) => {
                if let Some(blocker) = self.blocker(e.blocker_id) {
                    blocker.approved_by.push(e.by.clone());
                }
            }
            Event::BlockerClosed(e) => self.close_blocker(e.blocker_id),
            Event::UsageRecorded(e) => {
                self.usage.add(&e.usage);
                self.cost_usd = self.usage.cost_usd;
            }
            Event::TaskArchived(e) => self.archived_at = Some(e.at),
            Event::TaskUnarchived(_) => self.archived_at = None,
            Event::TaskReprioritised(e) => self.priority = e.priority,
            Event::TaskBudgetSet(e) => self.budget_usd = e.budget_usd,
            Event::TaskLabelled(e) => {
                self.label.clone_from(&e.label);
                self.labels.clone_from(&e.labels);
            }
            Event::TaskDeadlineSet(e) => self.deadline = e.deadline,
            Event::TaskRoutingSet(e) => self.routing_json = shown(&e.routing),
            Event::TaskPayloadSet(_) => {
                self.message.clone_from(&accepted.message);
                self.payload_json = shown(&Payload::new(accepted));
            }
            Event::ToolCallDecided(e) => {
                if e.executor.is_some() {
                    self.waiting_reason = Some(WaitingReason::ToolExecution);
                }
            }
            Event::ToolExecutionEnded(_) => {
                if self.current_blocker.is_none() {
                    self.waiting_reason = None;
                }
            }
            Event::SubtaskEnded(e) => {
                // A subtask that was reopened ends again, and reports its whole cost again.
                self.subtask_costs_usd.insert(e.task_id, e.cost_usd);
                self.subtasks_cost_usd = self.subtask_costs_usd.values().sum();
            }
            Event::InputAccepted(e) => {
                if e.source == InputSource::Caller {
                    self.wake_count = 0;
                }
            }
            // These change the version and nothing else of the task's object.
            Event::TaskAccepted(_)
            | Event::AttemptStarted(_)
            | Event::AttemptCancelRequested(_)
            | Event::RunEnded(_)
            | Event::InputClaimed(_)
            | Event::InputReturned(_)
            | Event::InputDeferred(_)
            | Event::InputConsumed(_)
            | Event::OutputProduced(_)
            | Event::OutputRowsAppended(_)
            | Event::OutputFinalized(_)
            | Event::OutputStatusChanged(_)
            | Event::OutputArchived(_)
            | Event::ToolCallDeferred(_)
            | Event::ToolCallAllowed(_)
            | Event::ToolExecutionStarted(_)
            | Event::SubtasksSpawned(_)
            | Event::ParentTold(_)
            | Event::WatchArmed(_)
            | Event::WatchFired(_)
            | Event::WatchDisarmed(_)
            | Event::BudgetWarned(_)
            | Event::BudgetExceeded(_) => {}
        }
    }

    fn request_run(&mut self, requested: &RunRequested) {
        self.requeue(requested.queued_at);
        self.target_run_id = Some(requested.run_id);
        self.finished_at = None;
        self.error = None;
        self.dropped_reason = None;
        match requested.cause {
            RunCause::Wake => self.wake_count = self.wake_count.saturating_add(1),
            RunCause::Retry => self.wake_count = 0,
            RunCause::Accepted
            | RunCause::Input
            | RunCause::Interrupt
            | RunCause::Subtasks
            | RunCause::Budget
            | RunCause::ToolCall => {}
        }
        self.clear_wake();
    }

    fn requeue(&mut self, at: DateTime<Utc>) {
        self.state = TaskState::Queued;
        self.queued_at = Some(at);
        self.dispatched_at = None;
    }

    fn sleep(&mut self, slept: &TaskSlept) {
        self.state = TaskState::Sleeping;
        self.queued_at = None;
        self.dispatched_at = None;
        self.wake_at = Some(slept.wake_at);
        self.wake_reason.clone_from(&slept.reason);
        self.wake_agenda.clone_from(&slept.agenda);
    }

    fn clear_wake(&mut self) {
        self.wake_at = None;
        self.wake_reason = None;
        self.wake_agenda.clear();
    }

    fn end(&mut self, state: TaskState, at: DateTime<Utc>) {
        self.state = state;
        self.finished_at = Some(at);
        self.clear_wake();
    }

    fn open_blocker(&mut self, opened: &BlockerOpened) {
        self.state = TaskState::Waiting;
        self.waiting_reason = Some(opened.kind.into());
        self.waiting_summary = Some(opened.summary.clone());
        self.input_kind = Some(input_kind(opened.kind));
        self.current_blocker = Some(OpenBlocker::from_opened(opened));
        self.queued_at = None;
        self.clear_wake();
    }

    fn update_blocker(&mut self, updated: &BlockerUpdated) {
        if let Some(blocker) = self.blocker(updated.blocker_id) {
            blocker.update(updated);
            self.waiting_summary = Some(updated.summary.clone());
        }
    }

    fn close_blocker(&mut self, id: BlockerId) {
        if self.blocker(id).is_some() {
            self.waiting_reason = None;
            self.waiting_summary = None;
            self.input_kind = None;
            self.current_blocker = None;
        }
    }

    /// The current blocker, if it has this id.
    fn blocker(&mut self, id: BlockerId) -> Option<&mut OpenBlocker> {
        self.current_blocker.as_mut().filter(|blocker| blocker.id == id)
    }
}
