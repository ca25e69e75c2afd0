//! The size of a task's state, and the time of a step, along a session of many turns: both stay what they were.
//!
//! `cargo run --release -p capstan-domain --example flat_state [turns]`, 100,000 turns by default. One turn is an input, a
//! lease, a start, a use of tokens, an output row and a settled end: six commands. The state is written with each commit; beside
//! its time stands that of the same state with every input of the session, as it was before they left. Times of writing are those
//! of a processor, the medians of five.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    clippy::print_stdout,
    reason = "an example measures and prints; the rules themselves do neither"
)]

use std::hint::black_box;
use std::time::Instant;

use capstan_decider::{Decider, fold};
use capstan_domain::id::{AttemptId, InputId, OutputId, RunId, TaskId, WorkerId};
use capstan_domain::task::command::{
    Accept, AcceptAgentCommand, AppendOutputRows, FinishAttempt, Lease, ProduceOutput, RecordUsage,
    ReportedOutcome, SubmitInput, SubmitTaskInput,
};
use capstan_domain::task::state::Input;
use capstan_domain::task::{Command, State, Task, TaskDecider};
use capstan_domain::usage::Usage;
use capstan_domain::{Requested, agent};
use chrono::{DateTime, Duration, Utc};
use serde_json::Map;
use uuid::Uuid;

const TASK: TaskId = TaskId(Uuid::from_u128(1));
const OUTPUT: OutputId = OutputId(Uuid::from_u128(2));

struct Session {
    state: State,
    now: DateTime<Utc>,
    events: u64,
}

impl Session {
    fn send(&mut self, command: Command) {
        self.now += Duration::milliseconds(10);
        let decided = TaskDecider::decide(&self.state, &Requested::new(command, self.now));
        let events = decided.expect("the command is legal");
        self.events += events.len() as u64;
        self.state = fold::<TaskDecider>(self.state.take(), &events);
    }

    fn task(&self) -> &Task {
        self.state.as_ref().expect("accepted")
    }

    fn turn(&mut self, number: u64) {
        let input_id = InputId(Uuid::from_u128(u128::from(number) + 1000));
        let text = SubmitTaskInput::from_text(TASK, "and what about the next one?");
        self.send(Command::SubmitInput(SubmitInput::new(input_id, text)));
        self.begin();
        self.work();
    }

    fn begin(&mut self) {
        let run_id: RunId = self.task().current_run().expect("a run").run_id;
        let (worker_id, worker_name) = (WorkerId(Uuid::from_u128(3)), "w".into());
        self.send(Command::Lease(Lease { run_id, worker_id, worker_name, lease_ms: 30_000 }));
    }

    fn attempt(&self) -> AttemptId {
        AttemptId { workspace: "dev".into(), task: TASK, epoch: self.task().epoch }
    }

    fn work(&mut self) {
        let attempt_id = self.attempt();
        let usage = Usage { input_tokens: 1000, output_tokens: 100, cost_usd: 0.001, ..Usage::default() };
        self.send(Command::RecordUsage { command: RecordUsage { usage }, attempt_id: attempt_id.clone() });
        if self.task().outputs.is_empty() {
            let command = Box::new(ProduceOutput {
                id: None,
                name: None,
                output_type: "table".into(),
                title: "Findings".into(),
                summary: None,
                uri: None,
                data: Map::new(),
                metadata: Map::new(),
                status: None,
            });
            let attempt_id = Some(attempt_id.clone());
            let fingerprint = String::new();
            self.send(Command::ProduceOutput { command, fingerprint, output_id: OUTPUT, attempt_id });
        }
        let command = AppendOutputRows { output_id: OUTPUT, rows: vec!["a row".into()] };
        self.send(Command::AppendOutputRows { command, attempt_id: Some(attempt_id.clone()) });
        let command = Box::new(FinishAttempt::new(ReportedOutcome::Ok));
        self.send(Command::Finish { command, attempt_id });
    }
}

impl Session {
    /// An input that waits behind a running turn, then has left with its end.
    fn kept_input(&mut self) -> Input {
        let input_id = InputId(Uuid::from_u128(999));
        let text = SubmitTaskInput::from_text(TASK, "and what about the next one?");
        self.send(Command::SubmitInput(SubmitInput::new(input_id, text)));
        let waiting = self.task().pending_inputs().next().cloned().expect("it waits");
        self.work();
        self.begin();
        self.work();
        waiting
    }
}

/// Nanoseconds of this thread on a processor so far: what other work takes meanwhile is not among them.
fn processor() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    text.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("nanoseconds")
}

/// The median of five times of writing, in microseconds.
fn written(times: u64, write: impl Fn() -> String) -> f64 {
    let once = || {
        let began = processor();
        (0..times).for_each(|_| drop(black_box(write())));
        (processor() - began) / 1e3 / times as f64
    };
    let mut measured: Vec<f64> = (0..5).map(|_| once()).collect();
    measured.sort_by(f64::total_cmp);
    measured[2]
}

fn main() {
    let turns: u64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let now = DateTime::UNIX_EPOCH + Duration::days(20_000);
    let mut session = Session { state: None, now, events: 0 };
    let asked = AcceptAgentCommand { message: "begin".into(), ..AcceptAgentCommand::default() };
    let accept = Accept::new(TASK, agent::Created::named("dev", "demo", "Demo", now), asked);
    session.send(Command::Accept(Box::new(Accept { message_bytes_max: 1000, ..accept })));
    session.begin();
    let input = session.kept_input();
    println!(
        "{:>8}  {:>9}  {:>11}  {:>13}  {:>9}  {:>16}  {:>15}",
        "turn", "events", "state bytes", "µs per command", "µs write", "bytes with inputs", "µs write"
    );
    let marks = [10, 100, 1000, 10_000, 100_000, 1_000_000];
    let mut before = 0;
    for mark in marks.into_iter().filter(|mark| *mark <= turns) {
        let timed = (mark - before).min(1000);
        (before + 1..=mark - timed).for_each(|number| session.turn(number));
        let began = Instant::now();
        (mark - timed + 1..=mark).for_each(|number| session.turn(number));
        let micros = began.elapsed().as_secs_f64() * 1e6 / (timed * 6) as f64;
        let bytes = session.task().progress_json().expect("JSON").len();
        let write = written(20_000, || session.task().progress_json().expect("JSON"));
        let numbered =
            |seq: u32| Input { input_id: InputId(Uuid::from_u128(seq.into())), seq, ..input.clone() };
        let inputs: Vec<Input> = (1..=mark as u32).map(numbered).collect();
        let whole = || {
            let progress = session.task().progress_json().expect("JSON");
            progress + &serde_json::to_string(&inputs).expect("JSON")
        };
        let (whole_bytes, whole_write) = (whole().len(), written((400_000 / mark).max(4), whole));
        println!(
            "{mark:>8}  {:>9}  {bytes:>11}  {micros:>13.2}  {write:>9.2}  {whole_bytes:>16}  {whole_write:>15.2}",
            session.events
        );
        before = mark;
    }
}
