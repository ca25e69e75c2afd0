//! Measures writing and reading a commit, with its events as they are stored and whole:
//! `cargo run --release -p capstan-contract --example commit_speed`.
//!
//! Whole events are what commits held before they left out what the commit says; the envelope around them is today's. The
//! acceptance is measured once more with a configuration of 4 KB in it, as a map of texts, which is how it carried that of its
//! agent before it named it. Times are of this thread on a processor, the median of five rounds.

use std::time::{Duration, Instant};

use capstan_contract::TaskCodec;
use capstan_decider::{Decider as _, fold};
use capstan_domain::agent::Created;
use capstan_domain::id::{AttemptId, BlockerId, InputId, OutputId, RunId, TaskId, ToolCallId, WorkerId};
use capstan_domain::task::command::{
    Accept, AcceptAgentCommand, AskedKind, CheckToolCall, ChildEnded, EndToolCall, FinishAttempt, Lease,
    OpenBlocker, RecordUsage, ReportedOutcome, StartToolCall, SubmitInput, SubmitTaskInput, SubtaskSpec,
    ToolCheck,
};
use capstan_domain::task::event::{Join, ToolExecutor, ToolOutcome};
use capstan_domain::task::transitions::TaskState;
use capstan_domain::task::{Command, Event, State, TaskDecider};
use capstan_domain::usage::{ModelUsage, Usage};
use capstan_domain::workspace::settings::ApprovalPolicy;
use capstan_envelope::{
    Actor, Codec as _, Commit, CommitHash, CommitId, EventRecord, Metadata, Position, StreamId,
};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};
use uuid::Uuid;

const ROUND: Duration = Duration::from_millis(300);
const ROUNDS: usize = 5;
const TASK: TaskId = TaskId(Uuid::from_u128(0x0189_0a5d_ac96_774b_bcce_b302_099a_8057));

type Fault = Box<dyn std::error::Error>;

fn commit(events: Vec<EventRecord>) -> Result<Commit, Fault> {
    let stream: StreamId = format!("dev/task/{TASK}").parse()?;
    let id = Uuid::from_u128(0x0189_0a5d_ac96_774b_bcce_b302_099a_8058);
    Ok(Commit {
        commit_id: CommitId(id),
        version: 2,
        previous: Position::START,
        previous_hash: CommitHash::of("dev.task.1", b"the commit before"),
        metadata: Metadata::new("finish-attempt", Actor::Engine, id, DateTime::UNIX_EPOCH),
        stream,
        events,
    })
}

/// Time of this thread on a processor so far, in microseconds: what other work takes meanwhile is not in it.
fn processor_us() -> Result<f64, Fault> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = text.split(' ').next().ok_or("the kernel tells no time of a thread")?;
    Ok(nanos.parse::<f64>()? / 1e3)
}

/// The median over the rounds of the time of one call, in microseconds.
fn timed(mut call: impl FnMut() -> Result<(), Fault>) -> Result<f64, Fault> {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let (started, before, mut calls) = (Instant::now(), processor_us()?, 0_u32);
        while started.elapsed() < ROUND {
            call()?;
            calls += 1;
        }
        times.push((processor_us()? - before) / f64::from(calls));
    }
    times.sort_by(f64::total_cmp);
    Ok(times[ROUNDS / 2])
}

#[expect(clippy::print_stdout, reason = "a tool for people")]
fn measure(name: &str, events: &[Event]) -> Result<(), Fault> {
    let empty = commit(Vec::new())?;
    let stored = |empty: &Commit| -> Result<Vec<u8>, Fault> {
        let events = TaskCodec::encode(events, empty.facts())?;
        let commit = Commit { events, ..empty.clone() };
        // As the engine names it.
        Ok(if name == "lease" { commit.named_by_content() } else { commit }.to_bytes()?)
    };
    let whole = |empty: &Commit| -> Result<Vec<u8>, Fault> {
        let events = events.iter().map(TaskCodec::write).collect::<Result<_, _>>()?;
        Ok(Commit { events, ..empty.clone() }.to_bytes()?)
    };
    for (form, bytes) in [("stored", stored(&empty)?), ("whole", whole(&empty)?)] {
        let write = timed(|| {
            let written = if form == "stored" { stored(&empty)? } else { whole(&empty)? };
            std::hint::black_box(written);
            Ok(())
        })?;
        let read = timed(|| {
            let commit = Commit::from_bytes(empty.stream.clone(), 1, &bytes)?;
            std::hint::black_box(TaskCodec::decode(&commit)?);
            Ok(())
        })?;
        println!(
            "{name:>12} {form:>6}: {:>5} bytes, write {write:>5.1} us, read {read:>5.1} us",
            bytes.len()
        );
    }
    Ok(())
}

fn main() -> Result<(), Fault> {
    let at: DateTime<Utc> = DateTime::UNIX_EPOCH;
    let message = "Compare the offers of these three vendors. ".repeat(12);
    let command = AcceptAgentCommand { message, ..AcceptAgentCommand::default() };
    let accept = Accept::new(TASK, Created::named("dev", "demo", "Demo", at), command);
    // Some sixty settings with texts of 50 bytes.
    let config: Map<String, Value> =
        (0..62).map(|number| (format!("setting-{number:02}"), "a text ".repeat(7).into())).collect();
    let carrying = AcceptAgentCommand { routing: config, ..accept.command.clone() };
    let carrying = Accept { command: carrying, ..accept.clone() };
    measured(None, at, [("with config", Command::Accept(Box::new(carrying)))])?;
    let attempt_id = AttemptId { workspace: "dev".into(), task: TASK, epoch: 1 };
    let lease = Lease {
        run_id: lease_run(),
        worker_id: WorkerId(Uuid::from_u128(3)),
        worker_name: "worker-1".into(),
        lease_ms: 30_000,
    };
    let command = Box::new(FinishAttempt::new(ReportedOutcome::Ok));
    let running = measured(
        None,
        at,
        [("acceptance", Command::Accept(Box::new(accept))), ("lease", Command::Lease(lease))],
    )?;
    measured(running.clone(), at, [("end", Command::Finish { command, attempt_id: attempt_id.clone() })])?;
    let finish = FinishAttempt {
        subtasks: vec![SubtaskSpec { prompt: "Ask Ann.".into(), ..SubtaskSpec::default() }; 5],
        join: Some(Join::Any),
        ..FinishAttempt::new(ReportedOutcome::Ok)
    };
    let ended = ChildEnded {
        task_id: TaskId::for_subtask(lease_run(), 0),
        label: Some("Ann".into()),
        run_no: 1,
        state: TaskState::Done,
        result: Some(json!({ "text": "All offers are there. ".repeat(50) })),
        error: None,
        cost_usd: 0.0,
    };
    measured(
        running.clone(),
        at,
        [
            ("5 subtasks", Command::Finish { command: Box::new(finish), attempt_id: attempt_id.clone() }),
            ("join", Command::ChildEnded(Box::new(ended))),
        ],
    )?;
    let used =
        ModelUsage { input_tokens: 18_250, output_tokens: 1_432, cost_usd: 0.0875, ..ModelUsage::default() };
    let usage = Usage { models: [("claude-sonnet-4".to_owned(), used)].into(), ..Usage::default() };
    let called =
        CheckToolCall::new("crm.update", json!({ "id": 1, "note": "Call the vendor back. ".repeat(12) }));
    let deferred = ToolCheck {
        arguments_fingerprint: "x".repeat(22),
        command: called,
        attempt_id: attempt_id.clone(),
        approval_policy: ApprovalPolicy::Ask,
        is_disabled: false,
        is_listed: false,
        executor: None,
    };
    let executed = ToolCheck { executor: Some(ToolExecutor::Worker), ..deferred.clone() };
    let words = SubmitTaskInput::from_text(TASK, "Ask them first whether the offer still stands. ".repeat(6));
    let reject = SubmitTaskInput { action: Some("reject".to_owned()), ..words };
    let input = |input| Command::SubmitInput(SubmitInput::new(InputId(Uuid::from_u128(4)), input));
    measured(
        running.clone(),
        at,
        [
            (
                "usage",
                Command::RecordUsage { command: RecordUsage { usage }, attempt_id: attempt_id.clone() },
            ),
            ("call", Command::CheckToolCall(Box::new(deferred))),
            ("rejection", input(reject)),
        ],
    )?;
    let approve =
        SubmitTaskInput { action: Some("approve".into()), ..SubmitTaskInput::from_text(TASK, String::new()) };
    let tool_call_id = ToolCallId::for_blocker(BlockerId::for_task(TASK, 1));
    let worker_id = Some(WorkerId(Uuid::from_u128(3)));
    let start = StartToolCall { tool_call_id, try_no: 1, worker_id, has_failed: false, until: later(at) };
    let end = EndToolCall {
        tool_call_id,
        try_no: 1,
        worker_id,
        outcome: ToolOutcome::Ok,
        exit_code: Some(0),
        stdout: "The offer is updated.\n".repeat(100),
        stderr: String::new(),
        error: None,
    };
    measured(
        running.clone(),
        at,
        [
            ("to execute", Command::CheckToolCall(Box::new(executed))),
            ("approval", input(approve)),
            ("execution", Command::StartToolCall(start)),
            ("result", Command::EndToolCall(Box::new(end))),
        ],
    )?;
    let question = OpenBlocker {
        kind: Some(AskedKind::Approval),
        summary: "May I send these three offers to the customers?".into(),
        ..OpenBlocker::default()
    };
    let question = Command::OpenBlocker { command: Box::new(question), attempt_id, fitting: Vec::new() };
    let pending = (1..=3).try_fold(running, |state, number| pending(state, number, at))?;
    measured(
        pending,
        at,
        [("question", question), ("words", input(SubmitTaskInput::from_text(TASK, "Too long. ".repeat(20))))],
    )?;
    Ok(())
}

fn lease_run() -> RunId {
    RunId::for_task(TASK, 1)
}

fn later(at: DateTime<Utc>) -> DateTime<Utc> {
    at + TimeDelta::seconds(60)
}

/// The task with one more output that waits for a decision.
fn pending(state: State, number: u128, at: DateTime<Utc>) -> Result<State, Fault> {
    let command = serde_json::from_value(json!({
        "output_type": "text", "title": "Offer", "status": "pending", "metadata": { "pending_action": "approval" },
    }))?;
    let output_id = OutputId(Uuid::from_u128(number));
    let (command, fingerprint) = (Box::new(command), "x".repeat(22));
    let produce = Command::ProduceOutput { command, fingerprint, output_id, attempt_id: None };
    let events = TaskDecider::decide(&state, &produce.at(at)).map_err(|refusal| format!("{refusal:?}"))?;
    Ok(fold::<TaskDecider>(state, &events))
}

/// Measures the commits of these commands, one after the other.
fn measured<const N: usize>(
    mut state: State,
    at: DateTime<Utc>,
    commands: [(&str, Command); N],
) -> Result<State, Fault> {
    for (name, command) in commands {
        let events =
            TaskDecider::decide(&state, &command.at(at)).map_err(|refusal| format!("{refusal:?}"))?;
        measure(name, &events)?;
        state = fold::<TaskDecider>(state, &events);
    }
    Ok(state)
}
