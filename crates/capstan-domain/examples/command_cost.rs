//! The time to decide on a short input to a task of 1 KB, 100 KB and 800 KB: it does not grow with the task.
//!
//! `cargo run --release -p capstan-domain --example command_cost`

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    clippy::print_stdout,
    reason = "an example measures and prints; the rules themselves do neither"
)]

use std::hint::black_box;
use std::time::Instant;

use capstan_decider::{Decider, fold};
use capstan_domain::id::{InputId, TaskId};
use capstan_domain::task::command::{Accept, AcceptAgentCommand, SubmitInput, SubmitTaskInput};
use capstan_domain::task::{Command, State, TaskDecider};
use capstan_domain::{Requested, agent};
use chrono::DateTime;
use uuid::Uuid;

const TASK: TaskId = TaskId(Uuid::from_u128(1));
const COMMANDS: u32 = 200;

fn send(state: &State, command: Command) -> State {
    let command = Requested::new(command, DateTime::UNIX_EPOCH);
    let events = TaskDecider::decide(state, &command).expect("the command is legal");
    fold::<TaskDecider>(state.clone(), &events)
}

fn say(number: u32, text: &str) -> Command {
    let input_id = InputId(Uuid::from_u128(u128::from(number) + 1_000));
    Command::SubmitInput(SubmitInput::new(input_id, SubmitTaskInput::from_text(TASK, text)))
}

fn main() {
    for kilobytes in [1, 100, 800] {
        // Half of it is the command, half what was said since.
        let attachment = serde_json::Map::from_iter([("a".to_owned(), "x".repeat(kilobytes * 250).into())]);
        let command = AcceptAgentCommand {
            message: "do it".into(),
            attachments: vec![attachment; 2],
            ..AcceptAgentCommand::default()
        };
        let agent = agent::Created::named("dev", "demo", "Demo", DateTime::UNIX_EPOCH);
        let mut state = send(&None, Command::Accept(Box::new(Accept::new(TASK, agent, command))));
        for number in 0..2 {
            state = send(&state, say(number, &"é".repeat(kilobytes * 125)));
        }
        let begun = Instant::now();
        for number in 0..COMMANDS {
            let command = Requested::new(say(10 + number, "and the next one?"), DateTime::UNIX_EPOCH);
            black_box(TaskDecider::decide(&state, &command)).expect("it is taken");
        }
        let us = begun.elapsed().as_secs_f64() * 1e6 / f64::from(COMMANDS);
        println!("{kilobytes} KB: {us:.1} µs a command");
    }
}
