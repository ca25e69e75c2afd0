//! Generated histories: moves that know the present state, so that most commands are legal, and some wild ones.

use std::collections::BTreeSet;

use capstan_decider::{Decider, fold};
use capstan_domain::Requested;
use capstan_domain::id::{AttemptId, BlockerId, InputId, OutputId, RunId, TaskId};
use capstan_domain::outcome_text::ErrorClass;
use capstan_domain::task::command::{
    AckInput, AppendOutputRows, ArchiveOutputs, ArchiveTask, CancelRun, CancelTask, CheckToolCall, Command,
    DeferInput, EndToolCall, ExpireBlocker, ExpireLease, ExpireQueue, FinalizeOutput, FireWatch, LiftBudget,
    MESSAGE_BYTES_MAX, NewOutputStatus, ParentHeard, PassDeadline, ProduceOutput, RecordUsage,
    ReleaseAttempt, ReleaseCause, ReportedOutcome, RetryTask, ReturnAttempt, StartAttempt, StartToolCall,
    StopForBudget, SubmitTaskInput, TaskPayload, TimeOutAttempt, ToolCheck, UnarchiveTask, UpdateTask, Wake,
    WarnBudget,
};
use capstan_domain::task::event::{BudgetScope, ToolExecutor, ToolOutcome};
use capstan_domain::task::spending::Spending;
use capstan_domain::task::state::ToolCallState;
use capstan_domain::task::{Event, Rejection, State, Task, TaskDecider, TaskState};
use capstan_domain::usage::Usage;
use capstan_domain::workspace::settings::ApprovalPolicy;
use chrono::{DateTime, Duration, Utc};
use proptest::prelude::*;
use serde_json::Map;
use uuid::Uuid;

use crate::commands::{
    accept, answer, change, child_ended, claim, fingerprint, finish, lease, question, say_somehow, say_with,
    task_id,
};

/// The beginning of a task.
#[derive(Clone, Debug, Default)]
pub(crate) struct Birth {
    pub(crate) delay_ms: Option<i64>,
    pub(crate) deadline_s: Option<i64>,
    pub(crate) queue_ttl_ms: Option<i64>,
    pub(crate) timeout_ms: Option<i64>,
    pub(crate) max_attempts: i64,
    pub(crate) retry_delay_ms: i64,
    pub(crate) has_parent: bool,
    /// Bytes that texts are filled up to.
    pub(crate) text_bytes: usize,
}

/// The next step; the state gives it its meaning.
#[derive(Clone, Debug)]
pub(crate) struct Move {
    pub(crate) kind: Kind,
    /// True when ids are deliberately wrong.
    pub(crate) wild: bool,
    pub(crate) a: u8,
    pub(crate) b: u8,
    pub(crate) after_s: i64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Accept,
    Say,
    Cancel,
    CancelRun,
    Retry,
    Archive,
    Unarchive,
    Update,
    ChildEnded,
    ParentHeard,
    Fire,
    Wake,
    Lease,
    Expire,
    Release,
    TimeOut,
    ExpireQueue,
    PassDeadline,
    Finish,
    Ask,
    Claim,
    Ack,
    Produce,
    Rows,
    Finalize,
    Usage,
    Defer,
    ExpireBlocker,
    Check,
    Decide,
    Start,
    StartCall,
    EndCall,
    StopForBudget,
    WarnBudget,
    LiftBudget,
    ArchiveOutputs,
}

/// One decided command.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) before: State,
    pub(crate) command: Requested<Command>,
    pub(crate) answer: Result<Vec<Event>, Rejection>,
    pub(crate) events: Vec<Event>,
    pub(crate) after: State,
    pub(crate) at: DateTime<Utc>,
}

pub(crate) fn births() -> impl Strategy<Value = Birth> {
    let some = |range: std::ops::Range<i64>| prop::option::weighted(0.2, range);
    (
        some(1..100_000),
        some(1..2000),
        some(1..100_000),
        prop::option::of(0..700_000_i64),
        1..4_i64,
        0..9000_i64,
        prop::bool::weighted(0.3),
    )
        .prop_map(
            |(delay_ms, deadline_s, queue_ttl_ms, timeout_ms, max_attempts, retry_delay_ms, has_parent)| {
                Birth {
                    delay_ms,
                    deadline_s,
                    queue_ttl_ms,
                    timeout_ms,
                    max_attempts,
                    retry_delay_ms,
                    has_parent,
                    text_bytes: 0,
                }
            },
        )
}

pub(crate) fn moves() -> impl Strategy<Value = Vec<Move>> {
    let kind = prop_oneof![
        1 => Just(Kind::Accept),
        8 => Just(Kind::Say),
        2 => Just(Kind::Cancel),
        1 => Just(Kind::CancelRun),
        4 => Just(Kind::Retry),
        1 => Just(Kind::Archive),
        2 => Just(Kind::Unarchive),
        2 => Just(Kind::Update),
        6 => Just(Kind::ChildEnded),
        1 => Just(Kind::ParentHeard),
        5 => Just(Kind::Fire),
        4 => Just(Kind::Wake),
        20 => Just(Kind::Lease),
        6 => Just(Kind::Expire),
        4 => Just(Kind::Release),
        2 => Just(Kind::TimeOut),
        2 => Just(Kind::ExpireQueue),
        1 => Just(Kind::PassDeadline),
        14 => Just(Kind::Finish),
        6 => Just(Kind::Ask),
        5 => Just(Kind::Claim),
        5 => Just(Kind::Ack),
        2 => Just(Kind::Produce),
        1 => Just(Kind::Rows),
        1 => Just(Kind::Finalize),
        3 => Just(Kind::Usage),
        5 => Just(Kind::Check),
        6 => Just(Kind::Decide),
        8 => Just(Kind::Start),
        5 => Just(Kind::StartCall),
        4 => Just(Kind::EndCall),
        1 => Just(Kind::StopForBudget),
        1 => Just(Kind::WarnBudget),
        4 => Just(Kind::LiftBudget),
        2 => Just(Kind::Defer),
        8 => Just(Kind::ExpireBlocker),
        1 => Just(Kind::ArchiveOutputs),
    ];
    let after_s = prop_oneof![6 => 0..5_i64, 2 => 5..120_i64, 1 => 600..800_i64];
    let wild = prop::bool::weighted(0.1);
    let one = (kind, wild, any::<u8>(), any::<u8>(), after_s).prop_map(|(kind, wild, a, b, after_s)| Move {
        kind,
        wild,
        a,
        b,
        after_s,
    });
    prop::collection::vec(one, 0..60)
}

/// Leases and losses in turn, more than a run survives.
pub(crate) fn losing_every_attempt() -> Vec<Move> {
    let one = |kind| Move { kind, wild: false, a: 0, b: 1, after_s: 1 };
    (0..10).flat_map(|_| [one(Kind::Lease), one(Kind::Expire)]).collect()
}

/// Decides and applies every move in turn; the first step is the acceptance.
pub(crate) fn play(birth: &Birth, moves: &[Move]) -> Vec<Step> {
    let mut now = DateTime::<Utc>::UNIX_EPOCH + Duration::days(20_000);
    let mut state = State::default();
    let mut steps = Vec::with_capacity(moves.len() + 1);
    let mut used = BTreeSet::new();
    let mut take = |command: Requested<Command>, state: &mut State, used: &mut BTreeSet<InputId>, at| {
        let before = state.clone();
        let answer = TaskDecider::decide(&before, &command);
        let events = answer.clone().unwrap_or_default();
        used.extend(events.iter().filter_map(|event| match event {
            Event::InputAccepted(e) => Some(e.input_id),
            _ => None,
        }));
        *state = fold::<TaskDecider>(before.clone(), &events);
        steps.push(Step { before, command, answer, events, after: state.clone(), at });
    };
    take(accept(birth, now), &mut state, &mut used, now);
    for one in moves {
        now += Duration::seconds(one.after_s);
        let Some(task) = &state else { break };
        let command = command(task, birth, one, &used, now);
        take(command, &mut state, &mut used, now);
    }
    steps
}

/// The command that brings the task nearer to its end, with its time.
pub(crate) fn helpful(task: &Task, now: DateTime<Utc>) -> Option<Requested<Command>> {
    if let Some(live) = &task.live {
        let attempt_id = live.attempt_id.clone();
        if live.cancel_grace_until.is_some() {
            let cause = ReleaseCause::GraceOver;
            return Some(Command::ReleaseAttempt(ReleaseAttempt { attempt_id, cause }).at(now));
        }
        if task.state != TaskState::Waiting {
            return Some(finish(attempt_id, ReportedOutcome::Ok, None, 0, now));
        }
    }
    if !task.children.joins.is_empty() && task.state != TaskState::Queued {
        let subtask = task.open_subtasks().find(|subtask| {
            task.children.joins.iter().any(|join| join.task_ids.contains(&subtask.task_id))
        })?;
        return Some(child_ended(subtask.task_id, TaskState::Done, "well done".into(), now));
    }
    let fresh = InputId(Uuid::from_u128(9_000_000 + u128::from(task.inbox.accepted)));
    match task.state {
        TaskState::Queued => {
            let run_id = task.active_run().map(|run| run.run_id)?;
            let due = task.available_at.unwrap_or(now).max(now);
            Some(lease(run_id, due))
        }
        TaskState::Waiting => {
            if let Some(blocker) = task.blocker.as_ref().filter(|blocker| blocker.opened.budget.is_some()) {
                let blocker_id = blocker.opened.blocker_id;
                return Some(Command::LiftBudget(LiftBudget { blocker_id }).at(now));
            }
            if let (None, Some(call)) = (&task.blocker, task.executing_call()) {
                let (tool_call_id, try_no) = match call.state {
                    ToolCallState::Executing { try_no, .. } => (call.deferred.tool_call_id, try_no),
                    _ => (call.deferred.tool_call_id, 0),
                };
                return Some(
                    Command::EndToolCall(Box::new(EndToolCall {
                        tool_call_id,
                        try_no,
                        worker_id: None,
                        outcome: ToolOutcome::Unknown,
                        exit_code: None,
                        stdout: String::new(),
                        stderr: String::new(),
                        error: None,
                    }))
                    .at(now),
                );
            }
            let asked = task.blocker.as_ref().map(|blocker| blocker.opened.blocker_id);
            Some(answer(fresh, asked, now))
        }
        TaskState::Sleeping => {
            let wake_at = task.sleep.as_ref()?.wake_at;
            Some(Command::Wake(Wake { wake_at }).at(wake_at))
        }
        TaskState::Running
        | TaskState::Done
        | TaskState::Error
        | TaskState::Dropped
        | TaskState::Cancelled => None,
    }
}

fn command(
    task: &Task,
    birth: &Birth,
    one: &Move,
    used: &BTreeSet<InputId>,
    at: DateTime<Utc>,
) -> Requested<Command> {
    let Move { kind, wild, a, b, .. } = *one;
    let epoch = match &task.live {
        Some(live) if !wild => live.attempt_id.epoch,
        _ => u64::from(a % 12),
    };
    let attempt_id = AttemptId { workspace: "dev".into(), task: task_id(), epoch };
    let run_id = match task.current_run() {
        Some(run) if !wild => run.run_id,
        _ => RunId::for_task(task_id(), u32::from(a % 5)),
    };
    // Few ids, so that some come twice. One of an input that an agent has is answered by its key, without a decision.
    let mut input_id = InputId(Uuid::from_u128(1000 + u128::from(a % 40)));
    if used.contains(&input_id) && task.input(input_id).is_none() {
        input_id = InputId(Uuid::from_u128(100_000 + used.len() as u128));
    }
    let output_id = OutputId(Uuid::from_u128(2000 + u128::from(a % 3)));
    let filled = |text: String| {
        let more = birth.text_bytes.saturating_sub(text.len());
        text + &"x".repeat(more)
    };
    let text = filled(format!("text {a} {b}."));
    // Outputs come from the agent, and some from outside.
    let fence = |attempt_id| (b % 5 > 0).then_some(attempt_id);
    match kind {
        Kind::Accept => accept(birth, at),
        Kind::Say => say_somehow(input_id, &text, a, b, at),
        Kind::Defer => {
            let held = task.claimed_input(&attempt_id).filter(|_| !wild);
            let input_id = held.map_or(input_id, |input| input.input_id);
            let command = DeferInput { input_id, reason: text };
            Command::DeferInput { command, attempt_id }.at(at)
        }
        Kind::ExpireBlocker => {
            let open = task.blocker.as_ref().filter(|_| !wild).map(|blocker| &blocker.opened);
            let blocker_id =
                open.map_or(BlockerId::for_task(task_id(), u32::from(a % 4)), |open| open.blocker_id);
            let due = open.and_then(|open| open.deadline.as_ref()).map_or(at, |deadline| deadline.at);
            Command::ExpireBlocker(ExpireBlocker { blocker_id, grace_ms: 1000 }).at(due.max(at))
        }
        Kind::Cancel => Command::Cancel {
            command: CancelTask { task_id: task_id(), reason: None },
            grace_ms: i64::from(b) * 100,
        }
        .at(at),
        Kind::CancelRun => {
            Command::CancelRun { command: CancelRun { run_id, reason: Some(text) }, grace_ms: 1000 }.at(at)
        }
        Kind::ChildEnded => {
            let known = task.open_subtasks().nth(usize::from(a % 2)).filter(|_| !wild);
            let stranger = TaskId(Uuid::from_u128(3000 + u128::from(a % 2)));
            let task_id = known.map_or(stranger, |subtask| subtask.task_id);
            let state = if b % 3 == 0 { TaskState::Error } else { TaskState::Done };
            child_ended(task_id, state, text, at)
        }
        Kind::ParentHeard => Command::ParentHeard(ParentHeard).at(at),
        Kind::Fire => {
            let command = FireWatch {
                integration: "gmail".into(),
                correlation_keys: vec![format!("thread {}", a % 2)],
                items: vec![filled((b % 8).to_string()).into()],
                event_type: None,
            };
            let fingerprint = fingerprint(&command.identity(task.id()));
            Command::FireWatch { command, fingerprint }.at(at)
        }
        Kind::Retry => {
            let command = RetryTask { task_id: task_id(), message: (b % 2 == 0).then_some(text) };
            Command::Retry { command, input_id, message_bytes_max: MESSAGE_BYTES_MAX }.at(at)
        }
        Kind::Archive => {
            Command::Archive { command: ArchiveTask { task_id: task_id() }, grace_ms: i64::from(b) * 100 }
                .at(at)
        }
        Kind::Unarchive => Command::Unarchive(UnarchiveTask { task_id: task_id() }).at(at),
        Kind::Update => {
            let payload = TaskPayload { message: Some(text), ..TaskPayload::default() };
            let command = UpdateTask {
                task_id: task_id(),
                priority: (a % 3 == 0).then(|| "high".to_owned()),
                budget_usd: change(a % 3 == 1, (b % 2 == 0).then_some(f64::from(b))),
                payload_json: (b % 3 == 0).then_some(payload),
                routing_json: None,
                label: change(b % 3 == 1, (a % 2 == 0).then(|| "a label".to_owned())),
                labels: None,
                deadline: change(b % 5 == 2, (a % 2 == 0).then(|| at + Duration::seconds(i64::from(a) + 1))),
            };
            Command::Update { command: Box::new(command), message_bytes_max: MESSAGE_BYTES_MAX }.at(at)
        }
        Kind::Wake => {
            let set_for = task.sleep.as_ref().filter(|_| !wild).map_or(at, |sleep| sleep.wake_at);
            Command::Wake(Wake { wake_at: set_for }).at(set_for.max(at))
        }
        Kind::Lease => {
            let due = task.available_at.filter(|_| !wild).unwrap_or(at);
            lease(run_id, due.max(at))
        }
        Kind::Start => Command::Start(StartAttempt { attempt_id }).at(at),
        Kind::Expire if b % 3 == 0 => {
            Command::Return { command: ReturnAttempt::default(), attempt_id }.at(at)
        }
        Kind::Expire => Command::ExpireLease(ExpireLease { attempt_id, reason: "silent".into() }).at(at),
        Kind::Release => {
            let cause = if b % 2 == 0 { ReleaseCause::GraceOver } else { ReleaseCause::NeverRenewed };
            Command::ReleaseAttempt(ReleaseAttempt { attempt_id, cause }).at(at)
        }
        Kind::TimeOut => {
            let due = task.attempt_due().filter(|_| !wild).unwrap_or(at);
            Command::TimeOutAttempt(TimeOutAttempt { attempt_id, grace_ms: 1000 }).at(due.max(at))
        }
        Kind::ExpireQueue => {
            let due = task.queue_due().filter(|_| !wild).unwrap_or(at);
            Command::ExpireQueue(ExpireQueue { run_id }).at(due.max(at))
        }
        Kind::PassDeadline => {
            let deadline = task.accepted.deadline.filter(|_| !wild).unwrap_or(at);
            Command::PassDeadline(PassDeadline { deadline, grace_ms: 1000 }).at(deadline.max(at))
        }
        Kind::Finish => {
            let outcome = match a % 12 {
                0..=5 => ReportedOutcome::Ok,
                6..=8 => ReportedOutcome::Error,
                9 => ReportedOutcome::Timeout,
                _ => ReportedOutcome::Cancelled,
            };
            let class = match b % 4 {
                0 => None,
                1 => Some(ErrorClass::Terminal),
                2 => Some(ErrorClass::RateLimited),
                _ => Some(ErrorClass::Retryable),
            };
            finish(attempt_id, outcome, class, b, at)
        }
        Kind::Ask => {
            let summary = if wild { String::new() } else { filled(format!("question {}", a % 3)) };
            let command = Box::new(question(summary, a, b, at));
            Command::OpenBlocker { command, attempt_id, fitting: Vec::new() }.at(at)
        }
        Kind::Claim => Command::ClaimInput { attempt_id }.at(at),
        Kind::Ack => {
            let held = task.claimed_input(&attempt_id).filter(|_| !wild);
            let input_id = held.map_or(input_id, |input| input.input_id);
            Command::AckInput { command: AckInput { input_id }, attempt_id }.at(at)
        }
        Kind::Produce => {
            let command = Box::new(ProduceOutput {
                id: None,
                name: None,
                output_type: "report".into(),
                title: text.chars().take(500).collect(),
                summary: None,
                uri: None,
                data: Map::new(),
                metadata: Map::new(),
                status: (b % 2 > 0).then_some(NewOutputStatus::Pending),
            });
            let fingerprint = fingerprint(&command.identity(task.id()));
            let attempt_id = fence(attempt_id);
            Command::ProduceOutput { command, fingerprint, output_id, attempt_id }.at(at)
        }
        Kind::Rows => {
            let command = AppendOutputRows { output_id, rows: vec![a.into()] };
            Command::AppendOutputRows { command, attempt_id: fence(attempt_id) }.at(at)
        }
        Kind::Finalize => {
            let command = FinalizeOutput { output_id, summary: text };
            let fingerprint = fingerprint(&command.identity(task.id()));
            Command::FinalizeOutput { command, fingerprint, attempt_id: fence(attempt_id) }.at(at)
        }
        Kind::Usage => {
            let cost_usd = if b % 4 == 0 { f64::from(a) / 20.0 } else { 0.0 };
            let usage = Usage { input_tokens: u64::from(a), cost_usd, ..Usage::default() };
            Command::RecordUsage { command: RecordUsage { usage }, attempt_id }.at(at)
        }
        Kind::Check => {
            let tool = ["crm", "gmail.send"][usize::from(a % 2)];
            let called = CheckToolCall::new(tool, serde_json::json!({ "n": a % 2 }));
            let command = CheckToolCall { is_write: b % 5 > 0, ..called };
            Command::CheckToolCall(Box::new(ToolCheck {
                arguments_fingerprint: fingerprint(&command.arguments_identity(task.id())),
                command,
                attempt_id,
                approval_policy: if b % 7 == 0 {
                    ApprovalPolicy::ApproveEmailsOnly
                } else {
                    ApprovalPolicy::Ask
                },
                is_disabled: wild,
                is_listed: b % 3 == 0,
                executor: [None, Some(ToolExecutor::Http)][usize::from(b % 2)],
            }))
            .at(at)
        }
        Kind::Decide => {
            let action = if a % 3 == 0 { "reject" } else { "approve" };
            let message = if b % 3 == 0 { text } else { String::new() };
            let input = SubmitTaskInput::from_text(task_id(), message);
            say_with(input_id, "zoe", SubmitTaskInput { action: Some(action.into()), ..input }, at)
        }
        Kind::StartCall => {
            let (tool_call_id, try_no, until) = claim(task, wild, at);
            let try_no = if until.is_some() { try_no + 1 } else { 1 };
            let at = until.unwrap_or(at).max(at);
            Command::StartToolCall(StartToolCall {
                tool_call_id,
                try_no,
                worker_id: None,
                has_failed: b % 2 == 0,
                until: at + Duration::seconds(30),
            })
            .at(at)
        }
        Kind::EndCall => {
            let (tool_call_id, try_no, _) = claim(task, wild, at);
            Command::EndToolCall(Box::new(EndToolCall {
                tool_call_id,
                try_no,
                worker_id: None,
                outcome: [ToolOutcome::Ok, ToolOutcome::Error, ToolOutcome::Unknown][usize::from(a % 3)],
                exit_code: None,
                stdout: text,
                stderr: String::new(),
                error: None,
            }))
            .at(at)
        }
        Kind::StopForBudget => {
            let spending =
                Spending { scope: BudgetScope::Agent, limit_usd: 1.0, spent_usd: f64::from(a % 3) };
            Command::StopForBudget(StopForBudget { spending, grace_ms: 1000 }).at(at)
        }
        Kind::WarnBudget => {
            let limit_usd = f64::from(1 + b % 2);
            let spending = Spending { scope: BudgetScope::Workspace, limit_usd, spent_usd: 2.0 };
            Command::WarnBudget(WarnBudget { spending }).at(at)
        }
        Kind::LiftBudget => {
            let open = task.blocker.as_ref().filter(|_| !wild).map(|blocker| blocker.opened.blocker_id);
            let blocker_id = open.unwrap_or(BlockerId::for_task(task_id(), u32::from(a % 5)));
            Command::LiftBudget(LiftBudget { blocker_id }).at(at)
        }
        Kind::ArchiveOutputs => {
            let known = task.outputs.named().map(|(id, _)| id).filter(|_| !wild).take(usize::from(a % 3));
            let output_ids = known.chain(wild.then_some(output_id)).collect();
            Command::ArchiveOutputs(ArchiveOutputs { output_ids }).at(at)
        }
    }
}
