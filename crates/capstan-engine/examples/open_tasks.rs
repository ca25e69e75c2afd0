//! Bytes a leader holds per open task, by what the task does: `cargo run --release -p capstan-engine --example open_tasks`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement stops where its premise breaks, and prints"
)]
#![expect(unsafe_code, reason = "an allocator that counts is unsafe by its trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use capstan_decider::{Decider as _, fold};
use capstan_domain::agent;
use capstan_domain::id::{AgentId, RunId, TaskId, WorkerId};
use capstan_domain::matching::{self, StreamKey};
use capstan_domain::task::command::{
    Accept, AcceptAgentCommand, FinishAttempt, Lease, OpenBlocker, ReportedOutcome, WakePlan,
};
use capstan_domain::task::{Command, State, TaskDecider};
use capstan_engine::process::{Process, ProcessConfig, ReducedTask};
use chrono::{DateTime, Duration, Utc};
use uuid::Uuid;

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator; only counters are kept beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(held, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const WORKSPACES: usize = 1_000;
const TASKS: usize = 200_000;

fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap()
}

fn process() -> Process {
    let matching = matching::Config::default();
    let config = ProcessConfig { lease_ms: 30_000, renew_every_ms: 10_000, grace_ms: 10_000, matching };
    Process::new(config, start())
}

fn decided(state: State, command: Command, at: DateTime<Utc>) -> State {
    let events = TaskDecider::decide(&state, &command.at(at)).unwrap();
    fold::<TaskDecider>(state, &events)
}

fn accepted(key: &StreamKey, delay_ms: Option<i64>, at: DateTime<Utc>) -> State {
    let agent = agent::Created::named(&key.workspace, "demo", "Demo", at);
    let command = AcceptAgentCommand {
        message: "x".repeat(1_000),
        agent_id: AgentId::from_key(&key.workspace, "demo").to_string(),
        deadline: Some(at + Duration::days(30)),
        dispatch_delay_ms: delay_ms,
        ..AcceptAgentCommand::default()
    };
    decided(None, Command::Accept(Box::new(Accept::new(key.task_id, agent, command))), at)
}

fn running(key: &StreamKey, at: DateTime<Utc>) -> State {
    let lease = Lease {
        run_id: RunId::for_task(key.task_id, 1),
        worker_id: WorkerId(Uuid::from_u128(7)),
        worker_name: "w".into(),
        lease_ms: 30_000,
    };
    decided(accepted(key, None, at), Command::Lease(lease), at)
}

fn sleeping(key: &StreamKey, at: DateTime<Utc>) -> State {
    let state = running(key, at);
    let attempt_id = state.as_ref().unwrap().live.as_ref().unwrap().attempt_id.clone();
    let wake = WakePlan { delay_minutes: Some(3), ..WakePlan::default() };
    let report = FinishAttempt { wake: Some(wake), ..FinishAttempt::new(ReportedOutcome::Ok) };
    decided(state, Command::Finish { command: Box::new(report), attempt_id }, at)
}

fn waiting(key: &StreamKey, at: DateTime<Utc>) -> State {
    let state = running(key, at);
    let attempt_id = state.as_ref().unwrap().live.as_ref().unwrap().attempt_id.clone();
    let command = Box::new(OpenBlocker { summary: "which one?".into(), ..OpenBlocker::default() });
    let asked = Command::OpenBlocker { command, attempt_id: attempt_id.clone(), fitting: Vec::new() };
    let state = decided(state, asked, at);
    let report = FinishAttempt::new(ReportedOutcome::Ok);
    decided(state, Command::Finish { command: Box::new(report), attempt_id }, at)
}

fn main() {
    let queued: fn(&StreamKey, DateTime<Utc>) -> State = |key, at| accepted(key, None, at);
    println!("{:<10} {:>12} {:>12} {:>14}", "task", "bytes", "at the peak", "tasks/s");
    for (name, state_of) in [
        ("queued", queued),
        ("running", running as fn(&StreamKey, DateTime<Utc>) -> State),
        ("sleeping", sleeping),
        ("waiting", waiting),
    ] {
        let mut process = process();
        let before = HELD.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        let mut spent = std::time::Duration::ZERO;
        for number in 0..TASKS {
            let id = TaskId(capstan_domain::id::derived(&["open-tasks", &number.to_string()]));
            let key = StreamKey::new(&format!("workspace-{}", number % WORKSPACES), id);
            let state = state_of(&key, start() + Duration::milliseconds(number as i64));
            let begun = Instant::now();
            process.begin_with(&key, &ReducedTask::of_stored(1, state), start());
            spent += begun.elapsed();
        }
        let held = (HELD.load(Ordering::Relaxed) - before) / TASKS;
        let peak = (PEAK.load(Ordering::Relaxed) - before) / TASKS;
        let rate = TASKS as f64 / spent.as_secs_f64();
        println!("{name:<10} {held:>12} {peak:>12} {rate:>14.0}");
    }
}
