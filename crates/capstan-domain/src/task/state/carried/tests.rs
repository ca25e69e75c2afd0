use capstan_decider::fold;
use capstan_decider::spec::{Given, given};
use uuid::Uuid;

use super::*;
use crate::id::InputId;
use crate::task::bounds::KEPT_BYTES_MAX;
use crate::task::command::{AcceptAgentCommand, MESSAGE_BYTES_MAX, NewOutputStatus, SubmitInput};
use crate::task::event::{Event, InputAccepted, InputOutcome};
use crate::task::fixture::{
    accepting, agent_command, at, cancel, change_message, finish_ok, input, lease, produce, queued, start,
    started, stopping, submit, task_of,
};
use crate::task::{State, TaskDecider};

fn json(task: &Task) -> String {
    serde_json::to_string(task).unwrap()
}

/// A report of the system that no agent has yet.
fn told(number: u32, text: String) -> Event {
    let input_id = InputId(Uuid::from_u128(9_000 + u128::from(number)));
    let source = InputSource::Subtasks;
    Event::InputAccepted(InputAccepted::text(input_id, number, source, text, InputOutcome::Queued, at(40)))
}

#[test]
fn a_change_stands_in_the_place_of_what_it_changed() {
    let task = task_of(&queued().and(change_message("say the new thing")).and(cancel()));
    let carried = task.carried();
    assert_eq!(carried.accepted, task.accepted);
    let text = json(&carried);
    assert_eq!(text.matches("say the new thing").count(), 1, "{text}");
    assert!(!text.contains("do it"), "the old message is gone: {text}");
    assert_eq!(serde_json::from_str::<Task>(&text).unwrap(), carried);
}

#[test]
fn a_task_that_is_done_is_carried_as_it_is() {
    let task = task_of(&started().and(produce(1, NewOutputStatus::Active)).and(finish_ok(1)));
    assert_eq!(task.carried(), task);
}

#[test]
fn what_was_said_to_a_task_at_its_limits_is_carried_whole() {
    let long = |number, unit: &str| {
        let text = unit.repeat((50 << 10) / unit.len());
        submit(SubmitInput { message_bytes_max: MESSAGE_BYTES_MAX, ..input(number, &text) })
    };
    let attachment = serde_json::Map::from_iter([("a".to_owned(), "\"".repeat(100 << 10).into())]);
    let command = AcceptAgentCommand { attachments: vec![attachment; 2], ..agent_command() };
    let begin = || given::<TaskDecider>([]).and(accepting(command.clone()));
    // In the queue, and while an agent works that takes none of them.
    for began in [begin(), begin().and(lease(1, 1)).and_events([start(1)])] {
        let mut full: Given<TaskDecider> = began;
        let mut refused = 0;
        for number in 1..40 {
            let unit = ["x", "\u{1}", "ä\""][number as usize % 3];
            for command in [long(number, unit), produce(number, NewOutputStatus::Pending)] {
                match <TaskDecider as capstan_decider::Decider>::decide(&full.state(), &command) {
                    Ok(_) => full = full.and(command),
                    Err(_) => refused += 1,
                }
            }
        }
        assert!(refused > 0);
        let task = task_of(&full.and(cancel()));
        assert!(task.carried_bytes() <= KEPT_BYTES_MAX, "{} bytes", task.carried_bytes());
        let carried = task.carried();
        assert!(json(&carried).len() <= CARRIED_BYTES_MAX, "{} bytes", json(&carried).len());
        assert!(json(&carried).len() > CARRIED_BYTES_MAX / 2, "{} bytes", json(&carried).len());
        assert_eq!(carried.inbox, task.inbox);
        assert_eq!(carried.outputs, task.outputs);
        assert_eq!(carried.runs, task.runs);
    }
}

#[test]
fn reports_that_nobody_is_refused_are_cut_and_what_callers_said_is_not() {
    let said = "s".repeat(200 << 10);
    let began = stopping().state();
    let reports = (2..10).map(|number| told(number, "r\n".repeat(100 << 10)));
    let state: State = fold::<TaskDecider>(
        fold::<TaskDecider>(began, &[told(1, said.clone())]),
        &reports.collect::<Vec<_>>(),
    );
    let mut task = *state.unwrap();
    task.progress.inbox.left[0].source = InputSource::Caller;
    assert!(json(&task).len() > 2 << 20);
    let carried = task.carried();
    assert!(json(&carried).len() <= CARRIED_BYTES_MAX, "{} bytes", json(&carried).len());
    assert_eq!(carried.inbox.len(), task.inbox.len());
    assert_eq!(carried.inbox[0].message, said);
    assert!(carried.inbox[1].message.ends_with("bytes in all)"), "{}", carried.inbox[1].message);
    // The newest are cut last.
    assert_eq!(carried.inbox[8].message, task.inbox[8].message);
}
