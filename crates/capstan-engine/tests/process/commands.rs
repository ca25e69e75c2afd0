//! Commands to tasks.

use capstan_domain::Requested;
use capstan_domain::agent;
use capstan_domain::id::{AgentId, AttemptId, InputId, TaskId};
use capstan_domain::matching::StreamKey;
use capstan_domain::policy::{RetryPolicy, RunPolicy};
use capstan_domain::task::Command;
use capstan_domain::task::command::{
    Accept, AcceptAgentCommand, AckInput, CancelTask, FinishAttempt, FireWatch, OpenBlocker, Parent,
    RecordUsage, ReportedOutcome, SubmitInput, SubmitTaskInput, SubtaskSpec, WakePlan,
};
use capstan_domain::task::event::{Join, ParentClose, SourceWatch};
use capstan_domain::usage::Usage;
use chrono::{DateTime, Duration, Utc};
use serde_json::{Map, json};
use uuid::Uuid;

use crate::world::GRACE_MS;

/// The first commands of a task.
#[derive(Clone, Debug)]
pub(crate) struct Birth {
    pub(crate) session: String,
    pub(crate) message: String,
    pub(crate) priority: &'static str,
    pub(crate) max_attempts: i64,
    pub(crate) timeout_ms: Option<i64>,
    pub(crate) queue_ttl_ms: Option<i64>,
    pub(crate) delay_ms: Option<i64>,
    pub(crate) deadline_ms: Option<i64>,
    pub(crate) budget_usd: Option<f64>,
    pub(crate) parent: Option<TaskId>,
    pub(crate) parent_close: ParentClose,
}

impl Default for Birth {
    fn default() -> Self {
        Self {
            session: "s".into(),
            message: "do it".into(),
            priority: "normal",
            max_attempts: 2,
            timeout_ms: None,
            queue_ttl_ms: None,
            delay_ms: None,
            deadline_ms: None,
            budget_usd: None,
            parent: None,
            parent_close: ParentClose::default(),
        }
    }
}

pub(crate) fn accept(birth: &Birth, key: &StreamKey, at: DateTime<Utc>) -> Requested<Command> {
    let retry = RetryPolicy { max_attempts: birth.max_attempts, ..RetryPolicy::default() };
    let workspace = key.workspace.to_string();
    let command = AcceptAgentCommand {
        message: birth.message.clone(),
        session_id: Some(birth.session.clone()),
        policy: Some(RunPolicy { retry, ..RunPolicy::default() }),
        timeout_ms: birth.timeout_ms,
        priority: Some(birth.priority.into()),
        parent_task_id: birth.parent,
        parent_close: Some(birth.parent_close),
        dispatch_delay_ms: birth.delay_ms,
        deadline: birth.deadline_ms.map(|ms| at + Duration::milliseconds(ms)),
        queue_ttl_ms: birth.queue_ttl_ms,
        budget_usd: birth.budget_usd,
        ..AcceptAgentCommand::default()
    };
    let parent = |task_id| Parent { task_id, root_task_id: task_id, depth: 0, is_open: true };
    Command::Accept(Box::new(Accept {
        parent: birth.parent.map(parent),
        message_bytes_max: 1_000_000,
        ..Accept::new(key.task_id, demo(&workspace, at), command)
    }))
    .at(at)
}

/// The agent everybody speaks to.
pub(crate) fn demo(workspace: &str, at: DateTime<Utc>) -> agent::Created {
    agent::Created {
        agent_id: AgentId::from_key(workspace, "demo"),
        workspace: workspace.into(),
        agent_key: "demo".into(),
        name: "Demo".into(),
        role: "generalist".into(),
        memory_scope: "workspace".into(),
        quality_score: None,
        cost_budget_usd: None,
        config: Map::new(),
        active: true,
        created_at: at,
    }
}

/// A first report, which records that the attempt has begun.
pub(crate) fn begin(attempt_id: &AttemptId, at: DateTime<Utc>) -> Requested<Command> {
    let usage = Usage { input_tokens: 1, ..Usage::default() };
    Command::RecordUsage { command: RecordUsage { usage }, attempt_id: attempt_id.clone() }.at(at)
}

pub(crate) fn finish(attempt_id: &AttemptId, outcome: ReportedOutcome) -> Command {
    finish_with(attempt_id, FinishAttempt::new(outcome))
}

pub(crate) fn finish_with(attempt_id: &AttemptId, report: FinishAttempt) -> Command {
    Command::Finish { command: Box::new(report), attempt_id: attempt_id.clone() }
}

pub(crate) fn finish_with_wake(attempt_id: &AttemptId) -> Command {
    let wake = WakePlan { delay_minutes: Some(3), ..WakePlan::default() };
    finish_with(attempt_id, FinishAttempt { wake: Some(wake), ..FinishAttempt::new(ReportedOutcome::Ok) })
}

/// An end that asks for this number of children.
pub(crate) fn finish_with_children(
    attempt_id: &AttemptId,
    children: usize,
    join: Join,
    at: DateTime<Utc>,
) -> Requested<Command> {
    let spec = |number| SubtaskSpec { prompt: format!("part {number}"), ..SubtaskSpec::default() };
    let subtasks = (0..children).map(spec).collect();
    let report = FinishAttempt { subtasks, join: Some(join), ..FinishAttempt::new(ReportedOutcome::Ok) };
    finish_with(attempt_id, report).at(at)
}

/// An end that replaces all watches by these.
pub(crate) fn finish_with_watches(
    attempt_id: &AttemptId,
    watches: Vec<SourceWatch>,
    at: DateTime<Utc>,
) -> Requested<Command> {
    let report = FinishAttempt { source_watches: Some(watches), ..FinishAttempt::new(ReportedOutcome::Ok) };
    finish_with(attempt_id, report).at(at)
}

/// A watch for a thread.
pub(crate) fn thread(name: &str) -> SourceWatch {
    serde_json::from_value(json!({ "integration": "gmail", "thread_id": name })).unwrap()
}

/// Something happened in a thread.
pub(crate) fn news(thread: &str, item: &str, at: DateTime<Utc>) -> Requested<Command> {
    let command = FireWatch {
        integration: "gmail".into(),
        correlation_keys: vec![thread.into()],
        items: vec![item.into()],
        event_type: None,
    };
    Command::FireWatch { command, fingerprint: format!("{thread} {item}") }.at(at)
}

pub(crate) fn question(attempt_id: &AttemptId, at: DateTime<Utc>) -> Requested<Command> {
    let command = Box::new(OpenBlocker { summary: "which one?".into(), ..OpenBlocker::default() });
    Command::OpenBlocker { command, attempt_id: attempt_id.clone(), fitting: Vec::new() }.at(at)
}

pub(crate) fn input(key: &StreamKey, id: u128, at: DateTime<Utc>) -> Requested<Command> {
    let input_id = InputId(Uuid::from_u128(id));
    let input = SubmitTaskInput::from_text(key.task_id, "the first");
    Command::SubmitInput(SubmitInput::new(input_id, input)).at(at)
}

pub(crate) fn claim(attempt_id: &AttemptId, at: DateTime<Utc>) -> Requested<Command> {
    Command::ClaimInput { attempt_id: attempt_id.clone() }.at(at)
}

pub(crate) fn ack(attempt_id: &AttemptId, input_id: InputId, at: DateTime<Utc>) -> Requested<Command> {
    Command::AckInput { command: AckInput { input_id }, attempt_id: attempt_id.clone() }.at(at)
}

pub(crate) fn cancel(key: &StreamKey, at: DateTime<Utc>) -> Requested<Command> {
    let command = CancelTask { task_id: key.task_id, reason: Some("no longer needed".into()) };
    Command::Cancel { command, grace_ms: GRACE_MS }.at(at)
}
