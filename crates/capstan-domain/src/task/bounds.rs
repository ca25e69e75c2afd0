//! The bytes a task may hold.
//!
//! The state of a task is in memory, and is written with each of its commits. Lists are bounded where they grow, and so are
//! single texts. This is the limit of all of them together: a command that brings text is refused when the task would hold
//! too much after it. Reports of the system and of subtasks are bounded by themselves and never refused, nor is a command that
//! makes a task smaller.
//!
//! To measure a task costs what it is large, so a bound that grows with its events is asked first (`state/size.rs`).
//!
//! What is left of a task when it is over has a smaller limit, because it is carried forward in one message when its commits are
//! archived (`state/carried.rs`).

use capstan_decider::fold;

use crate::stored::json_bytes;
use crate::task::command::{Command, FinishAttempt};
use crate::task::event::Event;
use crate::task::rejection::Rejection;
use crate::task::state::{CARRIED_BYTES_MAX, SizeBound, Task};
use crate::task::{State, TaskDecider};

/// Most bytes of the command of a task as JSON, with its changes.
pub const COMMAND_BYTES_MAX: usize = 768 << 10;
/// Most bytes as JSON of what is left of a task when it is over: the command, the inputs and the prompt that no agent has, and
/// what is known of its outputs and subtasks. The rest of what may be carried is for what is never refused.
pub const KEPT_BYTES_MAX: usize = CARRIED_BYTES_MAX - (16 << 10);
/// Most bytes of the inputs of a task that no agent has, answers included.
pub const INPUTS_BYTES_MAX: usize = 768 << 10;
/// Most inputs of a task that no agent has.
pub const INPUTS_MAX: usize = 1000;
/// Most bytes of the progress of a task as stored, when a command brings text.
pub const PROGRESS_BYTES_MAX: usize = 2 << 20;
/// Bytes by which reports of subtasks, tools, timers and watches may exceed that: 8 waits with the results and the errors they
/// tell, once as they came and once as one input.
pub const REPORTED_BYTES_MAX: usize = 4 << 20;

/// Refuses a command that makes a task too large.
pub(super) fn check(task: &Task, command: &Command, events: &[Event]) -> Result<(), Rejection> {
    let brings_text = brings_text(command);
    let is_measured = brings_text || matches!(command, Command::ProduceOutput { .. });
    if events.is_empty() || !is_measured || fits_surely(task, events) {
        return Ok(());
    }
    let Some(after) = fold::<TaskDecider>(State::Some(Box::new(task.clone())), events) else { return Ok(()) };
    let is_over = |of: fn(&Task) -> usize, max: usize| {
        let bytes = of(&after);
        bytes > max && bytes > of(task)
    };
    if is_over(|task| json_bytes(&*task.accepted), COMMAND_BYTES_MAX) {
        return Err(Rejection::Full { what: "command with its changes", limit_bytes: COMMAND_BYTES_MAX });
    }
    if is_over(|task| task.inbox.bytes(), INPUTS_BYTES_MAX) {
        return Err(Rejection::Full { what: "inputs that no agent has", limit_bytes: INPUTS_BYTES_MAX });
    }
    if is_over(|task| task.inbox.len(), INPUTS_MAX) {
        return Err(Rejection::FullInNumber { what: "inputs that no agent has", limit: INPUTS_MAX });
    }
    // Outputs have limits of their own.
    if brings_text && is_over(Task::progress_bytes, PROGRESS_BYTES_MAX) {
        return Err(Rejection::Full { what: "open work and texts", limit_bytes: PROGRESS_BYTES_MAX });
    }
    if is_over(Task::carried_bytes, KEPT_BYTES_MAX) {
        return Err(Rejection::Full {
            what: "command, inputs, outputs and subtasks",
            limit_bytes: KEPT_BYTES_MAX,
        });
    }
    Ok(())
}

/// True when a bound of the task's size shows that it is within every limit after these events. What is left costs what the
/// task is large, and is only needed near a limit.
fn fits_surely(task: &Task, events: &[Event]) -> bool {
    let bound = events.iter().fold(task.size_bound(), SizeBound::after);
    bound.accepted <= COMMAND_BYTES_MAX
        // The inputs are a part of it.
        && bound.progress <= INPUTS_BYTES_MAX.min(PROGRESS_BYTES_MAX)
        && task.inbox.len() + events.len() <= INPUTS_MAX
        && task.carried_bound(&bound, events.len()) <= KEPT_BYTES_MAX
}

/// Refuses a command that is too long as a whole, though none of its texts is.
pub(super) fn check_accepted(events: &[Event]) -> Result<(), Rejection> {
    let Some(Event::TaskAccepted(accepted)) = events.first() else { return Ok(()) };
    if json_bytes(&**accepted) > COMMAND_BYTES_MAX {
        return Err(Rejection::TooLarge { field: "command", limit_bytes: COMMAND_BYTES_MAX });
    }
    Ok(())
}

/// True for commands with texts that stay in the task.
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
    use capstan_decider::spec::given;
    use uuid::Uuid;

    use super::*;
    use crate::Requested;
    use crate::id::InputId;
    use crate::task::command::{
        AcceptAgentCommand, MESSAGE_BYTES_MAX, NewOutputStatus, ProduceOutput, ReportedOutcome, SubmitInput,
        SubtaskSpec,
    };
    use crate::task::event::{InputAccepted, InputOutcome, InputSource};
    use crate::task::fixture::{
        accepting, ack, agent_command, ask, at, cancel, change_message, claim, finishing, input, kinds,
        lease, output, producing, say, start, started, submit, task_of,
    };

    fn long(number: u128) -> Requested<Command> {
        let text = "x".repeat(MESSAGE_BYTES_MAX);
        submit(SubmitInput { message_bytes_max: MESSAGE_BYTES_MAX, ..input(number, &text) })
    }

    #[test]
    fn inputs_that_no_agent_has_are_taken_up_to_a_limit_and_again_when_one_is_taken() {
        let full = || (1..=3).fold(started(), |history, number| history.and(long(number)));
        let refusal = Rejection::Full { what: "inputs that no agent has", limit_bytes: INPUTS_BYTES_MAX };
        full().when(long(5)).then_rejected(refusal.clone());
        full().when(say(5, "a short one")).then_rejected(refusal);
        // What is there already, what takes something away and what ends the task is done all the same.
        full().when(long(3)).then_nothing();
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
    fn a_command_is_taken_up_to_a_limit_of_the_whole() {
        let attached = |bytes: usize| {
            let attachment = |text: String| serde_json::Map::from_iter([("a".to_owned(), text.into())]);
            let attachments = (0..3).map(|_| attachment("x".repeat(bytes / 3))).collect();
            accepting(AcceptAgentCommand { attachments, ..agent_command() })
        };
        given::<TaskDecider>([]).when(attached(COMMAND_BYTES_MAX - 4096)).then_with(|events, _| {
            assert_eq!(kinds(events), ["accepted", "run requested"]);
        });
        let refusal = Rejection::TooLarge { field: "command", limit_bytes: COMMAND_BYTES_MAX };
        given::<TaskDecider>([]).when(attached(COMMAND_BYTES_MAX - 256)).then_rejected(refusal);
        let large = || given::<TaskDecider>([]).and(attached(COMMAND_BYTES_MAX - 4096));
        let changed = |bytes: usize| change_message(&"y".repeat(bytes));
        let refusal = Rejection::Full { what: "command with its changes", limit_bytes: COMMAND_BYTES_MAX };
        large().when(changed(1024)).then_with(|events, _| assert_eq!(kinds(events).len(), 1));
        large().when(changed(8192)).then_rejected(refusal);
    }

    #[test]
    fn a_large_command_leaves_room_for_fewer_inputs_and_outputs() {
        let attachment = serde_json::Map::from_iter([("a".to_owned(), "x".repeat(250 << 10).into())]);
        let command = AcceptAgentCommand { attachments: vec![attachment; 3], ..agent_command() };
        let large =
            || given::<TaskDecider>([]).and(accepting(command.clone())).and(lease(1, 1)).and(start(1, 2));
        let refusal =
            Rejection::Full { what: "command, inputs, outputs and subtasks", limit_bytes: KEPT_BYTES_MAX };
        large().when(long(1)).then_rejected(refusal.clone());
        large().when(say(1, "a short one")).then_with(|events, _| assert_eq!(kinds(events), ["said"]));
        let title = "t".repeat(512);
        let data = serde_json::json!({ "draft_id": "d".repeat(1024), "thread_id": "e".repeat(1024) });
        let titled = |number| {
            let (output_type, data) = ("email".into(), data.as_object().cloned().unwrap());
            producing(
                number,
                ProduceOutput {
                    title: title.clone(),
                    output_type,
                    data,
                    ..output(number, NewOutputStatus::Pending)
                },
            )
        };
        let mut state = large().state();
        let refused = (1..1000).find_map(|number| match TaskDecider::decide(&state, &titled(number)) {
            Ok(events) => {
                state = fold::<TaskDecider>(state.take(), &events);
                None
            }
            Err(no) => Some((number, no)),
        });
        assert!(matches!(&refused, Some((20..60, no)) if *no == refusal), "{refused:?}");
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
