//! Commands of histories. Ids are few, so that some come twice.

use capstan_domain::Change;
use capstan_domain::Requested;
use capstan_domain::agent;
use capstan_domain::id::{AttemptId, BlockerId, InputId, OutputId, RunId, TaskId, ToolCallId, WorkerId};
use capstan_domain::outcome_text::ErrorClass;
use capstan_domain::policy::{RetryPolicy, RunPolicy};
use capstan_domain::task::command::{
    Accept, AcceptAgentCommand, AskedDeadline, AskedKind, ChildEnded, Command, DecidedItem, FinishAttempt,
    Lease, OpenBlocker, Parent, ReportedOutcome, SubmitInput, SubmitTaskInput, SubtaskSpec, WakePlan,
};
use capstan_domain::task::event::{Approvers, DeadlineDefault, Join, SourceWatch};
use capstan_domain::task::state::ToolCallState;
use capstan_domain::task::{Task, TaskState};
use chrono::{DateTime, Duration, Utc};
use serde_json::Map;
use uuid::Uuid;

use crate::history::Birth;

pub(crate) fn accept(birth: &Birth, at: DateTime<Utc>) -> Requested<Command> {
    let retry = RetryPolicy {
        max_attempts: birth.max_attempts,
        delay_ms: birth.retry_delay_ms,
        ..RetryPolicy::default()
    };
    let command = AcceptAgentCommand {
        message: "do it".into(),
        session_id: Some("s".into()),
        policy: Some(RunPolicy { retry, ..RunPolicy::default() }),
        timeout_ms: birth.timeout_ms,
        budget_usd: Some(0.1 + birth.retry_delay_ms as f64 / 7.0),
        dispatch_delay_ms: birth.delay_ms,
        deadline: birth.deadline_s.map(|seconds| at + Duration::seconds(seconds)),
        queue_ttl_ms: birth.queue_ttl_ms,
        ..AcceptAgentCommand::default()
    };
    let agent = agent::Created::named("dev", "demo", "Demo", at);
    let task_id = TaskId(Uuid::from_u128(9));
    let parent = Parent { task_id, root_task_id: task_id, depth: 0, is_open: true };
    let parent = birth.has_parent.then_some(parent);
    Command::Accept(Box::new(Accept { parent, ..Accept::new(self::task_id(), agent, command) })).at(at)
}

/// The call that may be carried out or is, the number of its last try and when that claim passes.
pub(crate) fn claim(task: &Task, wild: bool, at: DateTime<Utc>) -> (ToolCallId, u32, Option<DateTime<Utc>>) {
    let known = task.executing_call().or_else(|| task.tool_calls.values().next()).filter(|_| !wild);
    let Some(call) = known else { return (ToolCallId(Uuid::from_u128(3)), 1, Some(at)) };
    match call.state {
        ToolCallState::Executing { try_no, until, .. } => (call.deferred.tool_call_id, try_no, Some(until)),
        _ => (call.deferred.tool_call_id, 0, None),
    }
}

pub(crate) fn task_id() -> TaskId {
    TaskId(Uuid::from_u128(1))
}

pub(crate) fn lease(run_id: RunId, at: DateTime<Utc>) -> Requested<Command> {
    let worker_id = WorkerId(Uuid::from_u128(2));
    Command::Lease(Lease { run_id, worker_id, worker_name: "w".into(), lease_ms: 30_000 }).at(at)
}

/// Answers the question, as if checked against its schema.
pub(crate) fn answer(
    input_id: InputId,
    checked_for: Option<BlockerId>,
    at: DateTime<Utc>,
) -> Requested<Command> {
    let input = SubmitTaskInput::from_text(task_id(), "an answer");
    let input = SubmitInput { by: Some("zoe".into()), checked_for, ..SubmitInput::new(input_id, input) };
    Command::SubmitInput(input).at(at)
}

pub(crate) fn say_with(
    input_id: InputId,
    by: &str,
    input: SubmitTaskInput,
    at: DateTime<Utc>,
) -> Requested<Command> {
    Command::SubmitInput(SubmitInput { by: Some(by.into()), ..SubmitInput::new(input_id, input) }).at(at)
}

/// Says something in one of all the ways: modes, decisions on outputs, votes.
pub(crate) fn say_somehow(
    input_id: InputId,
    message: &str,
    a: u8,
    b: u8,
    at: DateTime<Utc>,
) -> Requested<Command> {
    let output_id = OutputId(Uuid::from_u128(2000 + u128::from(a % 3))).to_string();
    let action = if a.is_multiple_of(2) { "approve" } else { "reject" };
    let item = DecidedItem { output_id, action: action.into(), reason: None };
    let input = SubmitTaskInput {
        queue_mode: ["followup", "followup", "steer", "queue", "interrupt"]
            .get(usize::from(b % 8))
            .map(|mode| (*mode).to_owned()),
        action: (b % 5 == 1).then(|| action.to_owned()),
        items: if b % 11 == 3 { vec![item] } else { Vec::new() },
        answers: if a % 4 == 1 { [("q".to_owned(), a.into())].into_iter().collect() } else { Map::new() },
        ..SubmitTaskInput::from_text(task_id(), message)
    };
    let by = Some(["ann", "bob", "eve"][usize::from(a % 3)].to_owned());
    let checked_for = b.is_multiple_of(3).then(|| BlockerId::for_task(task_id(), 1 + u32::from(a % 3)));
    let input = SubmitInput { by, checked_for, grace_ms: 1000, ..SubmitInput::new(input_id, input) };
    Command::SubmitInput(input).at(at)
}

/// Asks one of all the questions.
pub(crate) fn question(summary: String, a: u8, b: u8, at: DateTime<Utc>) -> OpenBlocker {
    let is_request = b % 3 == 1;
    let default =
        [DeadlineDefault::Approve, DeadlineDefault::Reject, DeadlineDefault::Fail, DeadlineDefault::None];
    OpenBlocker {
        summary,
        kind: is_request.then_some(AskedKind::Approval),
        wait_group_id: (a % 4 == 3).then(|| "g".to_owned()),
        answer_schema: (a % 5 == 4).then(|| serde_json::json!({ "type": "object" })),
        deadline: (b % 4 >= 2).then(|| AskedDeadline {
            at: Some(at + Duration::seconds(i64::from(a) + 1)),
            after_ms: None,
            default: default[usize::from(a % 4)],
        }),
        approvers: (is_request && b % 2 == 1).then(|| Approvers { required: 2, among: Vec::new() }),
        ..OpenBlocker::default()
    }
}

pub(crate) fn finish(
    attempt_id: AttemptId,
    outcome: ReportedOutcome,
    error_class: Option<ErrorClass>,
    plan: u8,
    at: DateTime<Utc>,
) -> Requested<Command> {
    let blocker = OpenBlocker { summary: format!("question {}", plan % 3), ..OpenBlocker::default() };
    let command = Box::new(FinishAttempt {
        error_class,
        retry_after_ms: (plan % 5 == 4).then_some(i64::from(plan) * 100),
        waiting_for_input: plan % 4 == 1,
        blocker: (plan % 7 == 2).then_some(blocker),
        wake: (plan % 3 == 2)
            .then(|| WakePlan { delay_minutes: Some(i64::from(plan % 4)), ..WakePlan::default() }),
        ..fan_out(outcome, plan)
    });
    Command::Finish { command, attempt_id }.at(at)
}

pub(crate) fn change<T>(said: bool, to: Option<T>) -> Change<T> {
    if said { to.map_or(Change::Clear, Change::Set) } else { Change::Keep }
}

pub(crate) fn child_ended(
    task_id: TaskId,
    state: TaskState,
    result: String,
    at: DateTime<Utc>,
) -> Requested<Command> {
    let result = Some(result.into());
    Command::ChildEnded(Box::new(ChildEnded {
        task_id,
        label: None,
        run_no: 1,
        state,
        result,
        error: None,
        cost_usd: 0.5,
    }))
    .at(at)
}

/// A fingerprint as the application gives it, but under no key.
pub(crate) fn fingerprint(identity: &str) -> String {
    capstan_domain::id::derived(&[identity]).simple().to_string()
}

/// Children and watches in many combinations.
fn fan_out(outcome: ReportedOutcome, plan: u8) -> FinishAttempt {
    let prompts: &[&str] = [&[][..], &[], &["one"], &["one", "two"]][usize::from(plan / 16 % 4)];
    let spec = |prompt: &&str| SubtaskSpec {
        prompt: (*prompt).to_owned(),
        label: Some(format!("label {prompt}")),
        ..SubtaskSpec::default()
    };
    let watch = |entity_label: Option<String>| SourceWatch {
        integration: "gmail".into(),
        reason: None,
        query: None,
        thread_id: Some(format!("thread {}", plan % 2)),
        message_id: None,
        entity_key: None,
        entity_label,
        source_output_id: None,
        event_types: Vec::new(),
    };
    FinishAttempt {
        subtasks: prompts.iter().map(spec).collect(),
        join: [None, Some(Join::All), Some(Join::Any), Some(Join::None)][usize::from(plan / 64)]
            .filter(|_| !prompts.is_empty()),
        source_watches: match plan % 6 {
            0 => Some(Vec::new()),
            1 => Some(vec![watch(None)]),
            2 => Some(vec![watch(Some("label one".into())), watch(None)]),
            _ => None,
        },
        ..FinishAttempt::new(outcome)
    }
}
