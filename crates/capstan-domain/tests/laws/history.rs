//! Generated histories: moves that know the present state, so that most commands are legal, and some wild ones.

use capstan_decider::{Decider, fold};
use capstan_domain::agent;
use capstan_domain::id::{AgentId, AttemptId, InputId, OutputId, RunId, TaskId, WorkerId};
use capstan_domain::outcome_text::ErrorClass;
use capstan_domain::policy::{RetryPolicy, RunPolicy};
use capstan_domain::task::command::{
    Accept, AckInput, AppendOutputRows, BlockerSpec, Cancel, CancelRun, ClaimInput, Command, ExpireLease,
    ExpireQueue, FinalizeOutput, Finish, Lease, OpenBlocker, PassDeadline, ProduceOutput, RecordUsage,
    ReleaseAttempt, Start, SubmitInput, TimeOutAttempt, Wake, WakePlan,
};
use capstan_domain::task::event::{AttemptOutcome, OutputStatus};
use capstan_domain::task::{Event, Rejection, State, Task, TaskDecider, TaskState};
use capstan_domain::usage::Usage;
use chrono::{DateTime, Duration, Utc};
use proptest::prelude::*;
use serde_json::Map;
use uuid::Uuid;

/// How a task begins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Birth {
    pub(crate) delay_ms: Option<i64>,
    pub(crate) deadline_s: Option<i64>,
    pub(crate) queue_ttl_ms: Option<i64>,
    pub(crate) timeout_ms: Option<i64>,
    pub(crate) max_attempts: i64,
    pub(crate) retry_delay_ms: i64,
}

/// What happens next, to be read in the light of the state.
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
    Wake,
    Lease,
    Start,
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
}

/// One decided command.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) before: State,
    pub(crate) command: Command,
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
    )
        .prop_map(|(delay_ms, deadline_s, queue_ttl_ms, timeout_ms, max_attempts, retry_delay_ms)| {
            Birth { delay_ms, deadline_s, queue_ttl_ms, timeout_ms, max_attempts, retry_delay_ms }
        })
}

pub(crate) fn moves() -> impl Strategy<Value = Vec<Move>> {
    let kind = prop_oneof![
        1 => Just(Kind::Accept),
        8 => Just(Kind::Say),
        2 => Just(Kind::Cancel),
        1 => Just(Kind::CancelRun),
        4 => Just(Kind::Wake),
        20 => Just(Kind::Lease),
        8 => Just(Kind::Start),
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
        1 => Just(Kind::Usage),
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
    let mut take = |command: Command, state: &mut State, at| {
        let before = state.clone();
        let answer = TaskDecider::decide(&before, &command);
        let events = answer.clone().unwrap_or_default();
        *state = fold::<TaskDecider>(before.clone(), &events);
        steps.push(Step { before, command, answer, events, after: state.clone(), at });
    };
    take(accept(birth, now), &mut state, now);
    for one in moves {
        now += Duration::seconds(one.after_s);
        let Some(task) = &state else { break };
        let command = command(task, birth, one, now);
        take(command, &mut state, now);
    }
    steps
}

/// What brings the task nearer to its end, and when.
pub(crate) fn helpful(task: &Task, now: DateTime<Utc>) -> Option<(Command, DateTime<Utc>)> {
    if let Some(live) = &task.live {
        let attempt_id = live.attempt_id.clone();
        if live.cancel_grace_until.is_some() {
            return Some((Command::ReleaseAttempt(ReleaseAttempt { attempt_id, at: now }), now));
        }
        if task.state != TaskState::Waiting {
            return Some((finish(attempt_id, AttemptOutcome::Ok, None, 0, now), now));
        }
    }
    let fresh = InputId(Uuid::from_u128(9_000_000 + task.inbox.len() as u128));
    match task.state {
        TaskState::Queued => {
            let run_id = task.active_run().map(|run| run.run_id)?;
            let due = task.available_at.unwrap_or(now).max(now);
            Some((lease(run_id, due), due))
        }
        TaskState::Waiting => Some((say(fresh, "an answer", now), now)),
        TaskState::Sleeping => {
            let wake_at = task.sleep.as_ref()?.wake_at;
            Some((Command::Wake(Wake { wake_at, at: wake_at }), wake_at))
        }
        TaskState::Running
        | TaskState::Done
        | TaskState::Error
        | TaskState::Dropped
        | TaskState::Cancelled => None,
    }
}

fn accept(birth: &Birth, at: DateTime<Utc>) -> Command {
    let retry = RetryPolicy {
        max_attempts: birth.max_attempts,
        delay_ms: birth.retry_delay_ms,
        ..RetryPolicy::default()
    };
    Command::Accept(Box::new(Accept {
        session_id: "s".into(),
        policy: Some(RunPolicy { retry, ..RunPolicy::default() }),
        timeout_ms: birth.timeout_ms,
        budget_usd: Some(0.1 + birth.retry_delay_ms as f64 / 7.0),
        dispatch_delay_ms: birth.delay_ms,
        deadline: birth.deadline_s.map(|seconds| at + Duration::seconds(seconds)),
        queue_ttl_ms: birth.queue_ttl_ms,
        message_bytes_max: 1000,
        ..Accept::new(
            task_id(),
            agent::Created {
                agent_id: AgentId::of_key("dev", "demo"),
                workspace: "dev".into(),
                agent_key: "demo".into(),
                name: "Demo".into(),
                role: "generalist".into(),
                memory_scope: "workspace".into(),
                quality_score: None,
                cost_budget_usd: None,
                config: Map::new(),
                active: true,
                created_at: at,
            },
            "do it",
            at,
        )
    }))
}

fn task_id() -> TaskId {
    TaskId(Uuid::from_u128(1))
}

fn lease(run_id: RunId, at: DateTime<Utc>) -> Command {
    let worker_id = WorkerId(Uuid::from_u128(2));
    Command::Lease(Lease { run_id, worker_id, worker_name: "w".into(), lease_ms: 30_000, at })
}

fn say(input_id: InputId, message: &str, at: DateTime<Utc>) -> Command {
    Command::SubmitInput(SubmitInput {
        input_id,
        run_id: None,
        message: message.into(),
        answers: Map::new(),
        blocker_id: None,
        message_bytes_max: 1000,
        at,
    })
}

fn finish(
    attempt_id: AttemptId,
    outcome: AttemptOutcome,
    error_class: Option<ErrorClass>,
    plan: u8,
    at: DateTime<Utc>,
) -> Command {
    let blocker = BlockerSpec { summary: format!("question {}", plan % 3), ..BlockerSpec::default() };
    Command::Finish(Box::new(Finish {
        attempt_id,
        outcome,
        exit_code: None,
        error: None,
        error_class,
        retry_after_ms: (plan % 5 == 4).then_some(i64::from(plan) * 100),
        usage: None,
        waiting_for_input: plan % 4 == 1,
        blocker: (plan % 7 == 2).then_some(blocker),
        wake: (plan % 3 == 2)
            .then(|| WakePlan { delay_minutes: Some(i64::from(plan % 4)), ..WakePlan::default() }),
        result: None,
        at,
    }))
}

fn command(task: &Task, birth: &Birth, one: &Move, at: DateTime<Utc>) -> Command {
    let Move { kind, wild, a, b, .. } = *one;
    let epoch = match &task.live {
        Some(live) if !wild => live.attempt_id.epoch,
        _ => u64::from(a % 12),
    };
    let attempt_id = AttemptId { workspace: "dev".into(), task: task_id(), epoch };
    let run_id = match task.current_run() {
        Some(run) if !wild => run.run_id,
        _ => RunId::of_task(task_id(), u32::from(a % 5)),
    };
    // Few ids, so that some come twice.
    let input_id = InputId(Uuid::from_u128(1000 + u128::from(a % 40)));
    let output_id = OutputId(Uuid::from_u128(2000 + u128::from(a % 3)));
    let text = format!("text {a} {b}");
    // Outputs come from the agent, and some from outside.
    let fence = |attempt_id| (b % 5 > 0).then_some(attempt_id);
    match kind {
        Kind::Accept => accept(birth, at),
        Kind::Say => say(input_id, &text, at),
        Kind::Cancel => Command::Cancel(Cancel { reason: None, grace_ms: i64::from(b) * 100, at }),
        Kind::CancelRun => Command::CancelRun(CancelRun { run_id, reason: Some(text), grace_ms: 1000, at }),
        Kind::Wake => {
            let set_for = task.sleep.as_ref().filter(|_| !wild).map_or(at, |sleep| sleep.wake_at);
            Command::Wake(Wake { wake_at: set_for, at: set_for.max(at) })
        }
        Kind::Lease => {
            let due = task.available_at.filter(|_| !wild).unwrap_or(at);
            lease(run_id, due.max(at))
        }
        Kind::Start => Command::Start(Start { attempt_id, at }),
        Kind::Expire => Command::ExpireLease(ExpireLease {
            attempt_id,
            returned: b % 3 == 0,
            reason: "silent".into(),
            at,
        }),
        Kind::Release => Command::ReleaseAttempt(ReleaseAttempt { attempt_id, at }),
        Kind::TimeOut => {
            let due = task.attempt_due().filter(|_| !wild).unwrap_or(at);
            Command::TimeOutAttempt(TimeOutAttempt { attempt_id, grace_ms: 1000, at: due.max(at) })
        }
        Kind::ExpireQueue => {
            let due = task.queue_due().filter(|_| !wild).unwrap_or(at);
            Command::ExpireQueue(ExpireQueue { run_id, at: due.max(at) })
        }
        Kind::PassDeadline => {
            let deadline = task.accepted.deadline.filter(|_| !wild).unwrap_or(at);
            Command::PassDeadline(PassDeadline { deadline, grace_ms: 1000, at: deadline.max(at) })
        }
        Kind::Finish => {
            let outcome = match a % 12 {
                0..=5 => AttemptOutcome::Ok,
                6..=8 => AttemptOutcome::Error,
                9 => AttemptOutcome::Timeout,
                10 => AttemptOutcome::Cancelled,
                _ => AttemptOutcome::Lost,
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
            let summary = if wild { String::new() } else { format!("question {}", a % 3) };
            let blocker = BlockerSpec { summary, ..BlockerSpec::default() };
            Command::OpenBlocker(OpenBlocker { attempt_id, blocker, at })
        }
        Kind::Claim => Command::ClaimInput(ClaimInput { attempt_id, at }),
        Kind::Ack => {
            let held = task.claimed_input(&attempt_id).filter(|_| !wild);
            let input_id = held.map_or(input_id, |input| input.input_id);
            Command::AckInput(AckInput { attempt_id, input_id, at })
        }
        Kind::Produce => Command::ProduceOutput(Box::new(ProduceOutput {
            attempt_id: fence(attempt_id),
            output_id,
            output_type: "report".into(),
            title: text,
            summary: None,
            uri: None,
            data: Map::new(),
            metadata: Map::new(),
            status: if b % 2 == 0 { OutputStatus::Active } else { OutputStatus::Pending },
            at,
        })),
        Kind::Rows => Command::AppendOutputRows(AppendOutputRows {
            attempt_id: fence(attempt_id),
            output_id,
            rows: vec![a.into()],
            at,
        }),
        Kind::Finalize => Command::FinalizeOutput(FinalizeOutput {
            attempt_id: fence(attempt_id),
            output_id,
            summary: text,
            at,
        }),
        Kind::Usage => {
            let usage = Usage { input_tokens: u64::from(a), ..Usage::default() };
            Command::RecordUsage(RecordUsage { attempt_id, usage, at })
        }
    }
}
