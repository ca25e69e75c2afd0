//! The bytes a task may hold.
//!
//! The state of a task is in memory, and is written with each of its commits. Lists are bounded where they grow, and so are
//! single texts. This is the limit of all of them together: a command that brings text is refused when the task would hold
//! too much after it. Reports of the system and of subtasks are bounded by themselves and never refused, nor is a command that
//! makes a task smaller.

use capstan_decider::fold;

use crate::task::command::{Command, FinishAttempt};
use crate::task::event::Event;
use crate::task::rejection::Rejection;
use crate::task::state::Task;
use crate::task::{State, TaskDecider};

/// Most bytes of the inputs of a task that no agent has, answers included.
pub const INPUTS_BYTES_MAX: usize = 1 << 20;
/// Most inputs of a task that no agent has.
pub const INPUTS_MAX: usize = 1000;
/// Most bytes of the progress of a task as stored, when a command brings text.
pub const PROGRESS_BYTES_MAX: usize = 2 << 20;
/// Bytes by which reports of subtasks, tools, timers and watches may exceed that: 8 waits with the results and the errors they
/// tell, once as they came and once as one input.
pub const REPORTED_BYTES_MAX: usize = 4 << 20;

/// Refuses a command that makes a task too large.
pub(super) fn check(task: &Task, command: &Command, events: &[Event]) -> Result<(), Rejection> {
    if events.is_empty() || !brings_text(command) {
        return Ok(());
    }
    let Some(after) = fold::<TaskDecider>(State::Some(Box::new(task.clone())), events) else { return Ok(()) };
    let is_over = |of: fn(&Task) -> usize, max: usize| {
        let bytes = of(&after);
        bytes > max && bytes > of(task)
    };
    if is_over(|task| task.inbox.bytes(), INPUTS_BYTES_MAX) {
        return Err(Rejection::Full { what: "inputs that no agent has", limit_bytes: INPUTS_BYTES_MAX });
    }
    if is_over(|task| task.inbox.len(), INPUTS_MAX) {
        return Err(Rejection::FullInNumber { what: "inputs that no agent has", limit: INPUTS_MAX });
    }
    if is_over(Task::progress_bytes, PROGRESS_BYTES_MAX) {
        return Err(Rejection::Full { what: "open work and texts", limit_bytes: PROGRESS_BYTES_MAX });
    }
    Ok(())
}

/// True for commands with texts that stay in the task. Outputs have a limit of their own.
fn brings_text(command: &Command) -> bool {
    if let Command::Finish { command, .. } = command {
        return leaves_work(command);
    }
    matches!(
        command,
        Command::SubmitInput(_)
            | Command::Retry { .. }
            | Command::Update { .. }
            | Command::FireWatch { .. }
            | Command::OpenBlocker { .. }
            | Command::CheckToolCall(_)
    )
}

fn leaves_work(report: &FinishAttempt) -> bool {
    report.blocker.is_some()
        || report.wake.is_some()
        || !report.subtasks.is_empty()
        || report.source_watches.as_ref().is_some_and(|watches| !watches.is_empty())
}

#[cfg(test)]
mod tests {
    use capstan_decider::Decider as _;
    use uuid::Uuid;

    use super::*;
    use crate::Requested;
    use crate::id::InputId;
    use crate::task::command::{MESSAGE_BYTES_MAX, ReportedOutcome, SubmitInput, SubtaskSpec};
    use crate::task::event::{InputAccepted, InputOutcome, InputSource};
    use crate::task::fixture::{
        ack, ask, at, cancel, claim, finishing, input, kinds, say, started, submit, task_of,
    };

    fn long(number: u128) -> Requested<Command> {
        let text = "x".repeat(MESSAGE_BYTES_MAX);
        submit(SubmitInput { message_bytes_max: MESSAGE_BYTES_MAX, ..input(number, &text) })
    }

    #[test]
    fn inputs_that_no_agent_has_are_taken_up_to_a_megabyte_and_again_when_one_is_taken() {
        let full = || (1..=4).fold(started(), |history, number| history.and(long(number)));
        let refusal = Rejection::Full { what: "inputs that no agent has", limit_bytes: INPUTS_BYTES_MAX };
        full().when(long(5)).then_rejected(refusal.clone());
        full().when(say(5, "a short one")).then_rejected(refusal);
        // What is there already, what takes something away and what ends the task is done all the same.
        full().when(long(4)).then_nothing();
        full().when(cancel()).then_with(|events, _| assert!(kinds(events).contains(&"cancelled")));
        let taken = full().and(claim(1)).and(ack(1, 1));
        taken.when(long(5)).then_with(|events, _| assert_eq!(kinds(events), ["said"]));
    }

    #[test]
    fn a_task_takes_so_many_inputs_and_no_more() {
        let accepted = |number: u32| {
            let (input_id, source) = (InputId(Uuid::from_u128(u128::from(number))), InputSource::Caller);
            let outcome = InputOutcome::Queued;
            Event::InputAccepted(InputAccepted::text(
                input_id,
                number,
                source,
                "more".into(),
                outcome,
                at(20),
            ))
        };
        let full = fold::<TaskDecider>(started().state(), &(1..=1000).map(accepted).collect::<Vec<_>>());
        let refusal = Rejection::FullInNumber { what: "inputs that no agent has", limit: INPUTS_MAX };
        assert_eq!(TaskDecider::decide(&full, &say(5000, "more")), Err(refusal));
    }

    #[test]
    fn a_run_leaves_no_more_work_behind_than_a_task_may_hold() {
        let with = |count: usize| {
            let spec = || SubtaskSpec { prompt: "x".repeat(200_000), ..SubtaskSpec::default() };
            let subtasks = std::iter::repeat_with(spec).take(count).collect();
            finishing(FinishAttempt { subtasks, ..FinishAttempt::new(ReportedOutcome::Ok) })
        };
        started().when(with(10)).then_with(|events, _| assert!(kinds(events).contains(&"spawned")));
        let refusal = Rejection::Full { what: "open work and texts", limit_bytes: PROGRESS_BYTES_MAX };
        started().when(with(11)).then_rejected(refusal);
    }

    #[test]
    fn a_question_has_a_limit() {
        let text = "x".repeat(128 << 10);
        let refusal = Rejection::invalid("", "a question may have at most 131072 bytes");
        started().when(ask(1, &text)).then_rejected(refusal);
    }

    #[test]
    fn the_bytes_of_a_progress_are_those_of_its_json() {
        let task = task_of(&started().and(say(1, "\"ä\"")));
        assert_eq!(task.progress_bytes(), task.progress_json().unwrap().len());
    }
}
