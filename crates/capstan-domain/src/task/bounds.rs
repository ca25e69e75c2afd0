//! The bytes a task may hold.
//!
//! The state of a task is in memory, and is written with each of its commits. Lists are bounded where they grow, and so are
//! single texts. This is the limit of all of them together: a command that brings text is refused when the task would hold
//! too much after it. Reports of the system and of subtasks are bounded by themselves and never refused, nor is a command that
//! makes a task smaller. A full task can be brought on: decisions of few bytes have a reserve, and another try without a message
//! always passes.
//!
//! To measure a task costs what it is large, so a bound that grows with its events is asked first (`state/size.rs`).
//!
//! What is left of a task when it is over has a smaller limit, because it is carried forward in one message when its commits are
//! archived (`state/carried.rs`).

use capstan_decider::fold;

use crate::stored::json_bytes;
use crate::task::command::{Command, FinishAttempt, SubmitInput, SubmitTaskInput, UpdateTask};
use crate::task::event::Event;
use crate::task::rejection::Rejection;
use crate::task::state::{CARRIED_BYTES_MAX, SizeBound, Task};
use crate::task::{State, TaskDecider};
use crate::text::non_blank;

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

/// Bytes beyond these limits, and inputs beyond [`INPUTS_MAX`], for what brings a full task on: a decision of few bytes, and another
/// try without a message.
const RESERVED_BYTES: usize = 8 << 10;
const RESERVED_INPUTS: usize = 16;
/// Most bytes of a decision that may use them, as JSON.
const DECISION_BYTES_MAX: usize = 4 << 10;

/// Refuses a command that makes a task too large.
pub(super) fn check(task: &Task, command: &Command, events: &[Event]) -> Result<(), Rejection> {
    let growth = Growth::of(command);
    if events.is_empty() || growth == Growth::Small || fits_surely(task, events) {
        return Ok(());
    }
    let Some(after) = fold::<TaskDecider>(State::Some(Box::new(task.clone())), events) else { return Ok(()) };
    let (bytes, inputs) = if growth == Growth::Reserved { (RESERVED_BYTES, RESERVED_INPUTS) } else { (0, 0) };
    let is_over = |of: fn(&Task) -> usize, max: usize| {
        let bytes = of(&after);
        bytes > max && bytes > of(task)
    };
    if is_over(|task| json_bytes(&*task.accepted), COMMAND_BYTES_MAX) {
        return Err(Rejection::Full { what: "command with its changes", limit_bytes: COMMAND_BYTES_MAX });
    }
    if is_over(|task| task.inbox.bytes(), INPUTS_BYTES_MAX + bytes) {
        return Err(Rejection::Full { what: "inputs that no agent has", limit_bytes: INPUTS_BYTES_MAX });
    }
    if is_over(|task| task.inbox.len(), INPUTS_MAX + inputs) {
        return Err(Rejection::FullInNumber { what: "inputs that no agent has", limit: INPUTS_MAX });
    }
    // Outputs have limits of their own.
    if growth != Growth::Output && is_over(Task::progress_bytes, PROGRESS_BYTES_MAX + bytes) {
        return Err(Rejection::Full { what: "open work and texts", limit_bytes: PROGRESS_BYTES_MAX });
    }
    // One that tells the message again was counted with it before.
    let tells_again = is_mere_retry(command) && after.carried_bytes() > KEPT_BYTES_MAX + bytes;
    if tells_again || is_over(Task::carried_bytes, KEPT_BYTES_MAX + bytes) {
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

/// What a command adds to a task.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Growth {
    /// Nothing that adds up.
    Small,
    /// Few bytes that bring the task on.
    Reserved,
    /// Texts.
    Text,
    /// An output.
    Output,
}

impl Growth {
    fn of(command: &Command) -> Self {
        let is_decision =
            matches!(command, Command::SubmitInput(SubmitInput { input, .. }) if is_decision(input));
        if is_decision || is_mere_retry(command) {
            Self::Reserved
        } else if brings_text(command) {
            Self::Text
        } else if matches!(command, Command::ProduceOutput { .. }) {
            Self::Output
        } else {
            Self::Small
        }
    }
}

/// True for another try without a message of its own. It is never refused for what the task holds: nothing adds up, because a run
/// takes the place of the one before it.
pub(super) fn is_mere_retry(command: &Command) -> bool {
    matches!(command, Command::Retry { command, .. } if non_blank(command.message.as_deref()).is_none())
}

fn is_decision(input: &SubmitTaskInput) -> bool {
    let decides = non_blank(input.action.as_deref()).is_some() || !input.items.is_empty();
    decides && json_bytes(input) <= DECISION_BYTES_MAX
}

/// True for commands with texts that stay in the task.
fn brings_text(command: &Command) -> bool {
    if let Command::Finish { command, .. } = command {
        return leaves_work(command);
    }
    if let Command::Update { command, .. } = command {
        return changes_text(command);
    }
    matches!(
        command,
        Command::SubmitInput(_)
            | Command::Retry { .. }
            | Command::FireWatch { .. }
            | Command::OpenBlocker { .. }
            | Command::CheckToolCall(_)
    )
}

/// True for a change of more than numbers and times: of these the last one stays.
fn changes_text(update: &UpdateTask) -> bool {
    let labels = update.label.value().is_some() || update.labels.is_some();
    labels || update.routing_json.is_some() || update.payload_json.is_some()
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
    use capstan_decider::spec::{Given, given};
    use uuid::Uuid;

    use super::*;
    use crate::Requested;
    use crate::id::InputId;
    use crate::outcome_text::ErrorClass;
    use crate::task::command::{
        Accept, AcceptAgentCommand, MESSAGE_BYTES_MAX, NewOutputStatus, ProduceOutput, ReportedOutcome,
        RetryTask, SubtaskSpec,
    };
    use crate::task::event::{InputAccepted, InputOutcome, InputSource};
    use crate::task::fixture::{
        accepting, ack, agent_command, approvable, ask, at, cancel, change_message, claim, decide, failure,
        finishing, input, input_id, input_with, kinds, lease, open, output, producing, request, say, start,
        started, submit, task_id, task_of,
    };

    fn long(number: u128) -> Requested<Command> {
        saying(number, MESSAGE_BYTES_MAX)
    }

    /// An input of so many bytes.
    fn saying(number: u128, bytes: usize) -> Requested<Command> {
        let text = "x".repeat(bytes);
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
        let large = || {
            given::<TaskDecider>([]).and(accepting(command.clone())).and(lease(1, 1)).and_events([start(1)])
        };
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

    /// A task with a message, attachments and inputs of so many KiB, which an agent had begun and failed.
    fn full_and_failed(message: usize, attached: usize, said: &[usize]) -> Given<TaskDecider> {
        let attachment = serde_json::Map::from_iter([("a".to_owned(), "x".repeat(attached << 10).into())]);
        let command = AcceptAgentCommand {
            message: "m".repeat(message << 10),
            attachments: vec![attachment],
            ..agent_command()
        };
        let accept = Accept { message_bytes_max: MESSAGE_BYTES_MAX, ..command.into() };
        let began = given::<TaskDecider>([]).and(accepting(accept)).and(lease(1, 1)).and_events([start(1)]);
        let say = |history: Given<TaskDecider>, (kib, number): (&usize, u128)| {
            history.and(saying(number, kib << 10))
        };
        let said = said.iter().zip(1..).fold(began, say);
        said.and(finishing(failure(ErrorClass::Terminal)))
    }

    fn retry(message: Option<&str>) -> Requested<Command> {
        let command = RetryTask { task_id: task_id(), message: message.map(str::to_owned) };
        let message_bytes_max = MESSAGE_BYTES_MAX;
        Command::Retry { command, input_id: input_id(77), message_bytes_max }.at(at(100))
    }

    #[test]
    fn a_full_task_is_tried_again_archived_and_changed() {
        let full = || full_and_failed(200, 240, &[22, 200, 200]);
        let refusal =
            Rejection::Full { what: "command, inputs, outputs and subtasks", limit_bytes: KEPT_BYTES_MAX };
        full().when(retry(Some(&"again".repeat(200)))).then_rejected(refusal.clone());
        full().when(saying(50, 1_200)).then_rejected(refusal);
        let priority = serde_json::json!({ "task_id": task_id(), "priority": "high" });
        let command = Box::new(serde_json::from_value::<UpdateTask>(priority).unwrap());
        let update = Command::Update { command, message_bytes_max: 1 }.at(at(50));
        full().when(update).then_with(|events, _| assert_eq!(events.len(), 1));
        full().when(retry(None)).then_with(|events, task| {
            assert_eq!(kinds(events), ["run requested"]);
            let task = task.as_ref().unwrap();
            // The message stands in the command; a prompt with an input would repeat it.
            assert_eq!(task.current_prompt(), task.accepted.message);
            assert_eq!(task.inbox.len(), 3);
        });
        // However often, it stays what it is; and what it says is carried whole.
        let mut tried = full();
        for _ in 0..20 {
            tried = tried.and(retry(None)).and(cancel());
        }
        let task = task_of(&tried);
        let carried = serde_json::to_string(&task.carried()).unwrap();
        assert!(carried.len() <= CARRIED_BYTES_MAX, "{}", carried.len());
        assert_eq!((task.carried().inbox.len(), &task.carried().inbox), (3, &task.inbox));
    }

    #[test]
    fn a_retry_with_room_says_the_inputs_too() {
        full_and_failed(10, 10, &[200, 23]).when(retry(None)).then_with(|_, task| {
            let task = task.as_ref().unwrap();
            assert!(task.inbox.is_empty() && task.current_prompt().len() > 230 << 10);
        });
    }

    #[test]
    fn a_full_task_is_decided_on() {
        let attachment = serde_json::Map::from_iter([("a".to_owned(), "x".repeat(245 << 10).into())]);
        let command = AcceptAgentCommand { attachments: vec![attachment; 3], ..agent_command() };
        let began = given::<TaskDecider>([]).and(accepting(command)).and(lease(1, 1)).and_events([start(1)]);
        let asked = began.and(approvable(1, "g")).and(open(1, request("May I?")));
        // Until hardly a word fits.
        let mut state = asked.state();
        let mut sizes = [30_000, 3_000, 300].into_iter().peekable();
        for number in 1_000.. {
            let Some(bytes) = sizes.peek() else { break };
            let input = input_with(number, &"s".repeat(*bytes), |input| {
                input.queue_mode = Some("queue".into());
            });
            let input = SubmitInput { message_bytes_max: MESSAGE_BYTES_MAX, ..input };
            match TaskDecider::decide(&state, &submit(input)) {
                Ok(events) => state = fold::<TaskDecider>(state, &events),
                Err(_) => drop(sizes.next()),
            }
        }
        assert!(state.as_ref().unwrap().carried_bytes() > KEPT_BYTES_MAX - 1_000);
        let reason = "r".repeat(600);
        for (action, text) in [("approve", ""), ("reject", "no"), ("reject", &*reason)] {
            let events = TaskDecider::decide(&state, &submit(decide(9_000, action, text))).unwrap();
            assert!(kinds(&events).contains(&"said"), "{events:?}");
        }
        let long = "r".repeat(20 << 10);
        let long = SubmitInput { message_bytes_max: MESSAGE_BYTES_MAX, ..decide(9_000, "reject", &long) };
        assert!(TaskDecider::decide(&state, &submit(long)).is_err());
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
