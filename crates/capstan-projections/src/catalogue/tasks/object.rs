//! The object of a task as reads return it, made from its acceptance, its state and what is shown beyond that.

use std::collections::BTreeMap;

use capstan_contract::query::WaitingReason;
use capstan_domain::id::{AgentId, RunId, TaskId};
use capstan_domain::task::event::{AgendaItem, DropReason, InputKind, Priority};
use capstan_domain::task::{Task, TaskState};
use capstan_domain::usage::Usage;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use super::TaskRow;
use super::payload::Payload;
use crate::catalogue::blockers::{OpenBlocker, input_kind};
use crate::redaction::{shown, shown_labels};

/// A task as the API returns it.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Task")]
pub struct TaskObject {
    id: TaskId,
    workspace: String,
    agent_id: AgentId,
    agent_name: String,
    session_id: String,
    state: TaskState,
    waiting_reason: Option<WaitingReason>,
    waiting_summary: Option<String>,
    input_kind: Option<InputKind>,
    label: Option<String>,
    labels: BTreeMap<String, String>,
    priority: Priority,
    message: String,
    #[schemars(with = "Payload<'static>")]
    payload_json: Box<RawValue>,
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    routing_json: Box<RawValue>,
    parent_task_id: Option<TaskId>,
    source_output_id: Option<String>,
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
    archived_at: Option<DateTime<Utc>>,
    accepted_at: DateTime<Utc>,
    queued_at: Option<DateTime<Utc>>,
    dispatched_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    version: u64,
}

/// The reason a task waits, while it does.
pub(super) fn waiting_reason(task: &Task) -> Option<WaitingReason> {
    match &task.blocker {
        Some(blocker) => Some(blocker.opened.kind.into()),
        None => (task.state == TaskState::Waiting && task.executing_call().is_some())
            .then_some(WaitingReason::ToolExecution),
    }
}

impl TaskObject {
    pub(super) fn from_row(row: &TaskRow) -> Self {
        let TaskRow { head, task, shown: beyond, .. } = row;
        let accepted = &*task.accepted;
        let blocker = task.blocker.as_ref();
        let ended =
            task.children.iter().filter_map(|(id, child)| Some((*id, child.ended.as_ref()?.cost_usd)));
        let subtask_costs_usd: BTreeMap<_, _> = ended.collect();
        let routing = shown(&accepted.routing);
        Self {
            id: accepted.task_id,
            workspace: accepted.workspace.clone(),
            agent_id: accepted.agent_id,
            agent_name: accepted.agent_name.clone(),
            session_id: accepted.session_id.clone(),
            state: task.state,
            waiting_reason: waiting_reason(task),
            waiting_summary: blocker.map(|blocker| blocker.opened.summary.clone()),
            input_kind: blocker.map(|blocker| input_kind(blocker.opened.kind)),
            label: accepted.label.clone(),
            labels: shown_labels(&accepted.labels),
            priority: task.priority,
            message: accepted.message.clone(),
            payload_json: shown(&Payload::new(accepted)),
            routing_json: routing,
            parent_task_id: accepted.parent_task_id,
            source_output_id: accepted.source_output_id.clone(),
            target_run_id: task.current_run().map(|run| run.run_id),
            current_blocker: blocker.map(OpenBlocker::from_blocker),
            budget_usd: accepted.budget_usd,
            cost_usd: beyond.usage.cost_usd,
            // The sum of no floats is -0.0.
            subtasks_cost_usd: subtask_costs_usd.values().fold(0.0, |sum, cost| sum + cost),
            subtask_costs_usd,
            usage: beyond.usage.clone(),
            wake_at: task.sleep.as_ref().map(|sleep| sleep.wake_at),
            wake_reason: beyond.wake_reason.clone(),
            wake_agenda: beyond.wake_agenda.clone(),
            wake_count: task.wake_count,
            deadline: accepted.deadline,
            dropped_reason: beyond.dropped_reason,
            error: beyond.error.clone(),
            archived_at: task.archived_at,
            accepted_at: accepted.accepted_at,
            queued_at: beyond.queued_at,
            dispatched_at: beyond.dispatched_at,
            finished_at: beyond.finished_at,
            created_at: accepted.accepted_at,
            updated_at: beyond.updated_at,
            version: head.version,
        }
    }
}
