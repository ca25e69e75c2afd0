//! A session of an agent: the task a further command on it belongs to.
//!
//! One stream for each agent and session name a caller chose. A task and its place in the session are recorded in one
//! append, so a session never names a missing task. Sessions without a name have no stream.
//!
//! Invariants: 1. a session is bound to its newest task; 2. a command on it goes to that task, or begins the next one.
//!
//! ```text
//! (none) ──bind──► bound ──bind──► bound to a later task
//!                    └──continue──► bound, the task has one more input
//! ```

use capstan_decider::Decider;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::choice::{unsupported, word};
use crate::id::{AgentId, InputId, TaskId};
use crate::implied::At;
use crate::task::command::AcceptAgentCommand;
use crate::task::event::QueueMode;
use crate::task::words::QUEUE_MODES;
use crate::{Fault, Faults, Requested};

/// A command on the session.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// The command as the caller sent it.
    pub body: AcceptAgentCommand,
    /// The session's name: that of the command, without blanks around it.
    pub session_id: String,
    /// The agent of the session.
    pub agent_id: AgentId,
    /// The task it makes, if it makes one.
    pub task_id: TaskId,
    /// The input it is, if it is one.
    pub input_id: InputId,
    /// The state of the session's task, as looked up.
    pub last: Option<Last>,
}

/// The state of a session's task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Last {
    /// Id of the task.
    pub task_id: TaskId,
    /// True while it is not over.
    pub is_open: bool,
    /// True when it is archived.
    pub is_archived: bool,
}

/// The treatment of a command on a session that has a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Input,
    Queue,
    Reject,
}

word! {
    /// A queue mode, or `reject`, in any case.
    pub(crate) SessionModeWord, "any-case", is_inline: false, modes()
}

/// The mode that refuses a command while the task of its session is open.
const REJECT: &str = "reject";

/// The words of a mode.
fn modes() -> impl Iterator<Item = &'static str> {
    QUEUE_MODES.iter().map(|(word, _)| *word).chain([REJECT])
}

/// Reads the mode of a command.
fn mode(text: Option<&str>, faults: &mut Faults) -> Mode {
    let word = text.map(str::trim).unwrap_or_default().to_lowercase();
    if word == REJECT {
        return Mode::Reject;
    }
    match QUEUE_MODES.iter().find(|(known, _)| *known == word) {
        Some((_, QueueMode::Queue)) => Mode::Queue,
        Some((_, QueueMode::Followup | QueueMode::Steer | QueueMode::Interrupt)) => Mode::Input,
        None if word.is_empty() => Mode::Input,
        None => {
            faults.add("/queue_mode", unsupported("queue_mode", &word, modes()));
            Mode::Input
        }
    }
}

/// Refuses a mode there is not, for commands that name no session.
pub fn check_mode(text: Option<&str>, faults: &mut Faults) {
    mode(text, faults);
}

/// An event of a session. These names and fields are stored permanently.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A task began on the session.
    Bound(SessionBound),
    /// The session's task accepted an input.
    Continued(SessionContinued),
}

stored! {
/// A task began on the session; later commands on the session go to it.
#[derive(Eq)]
pub struct SessionBound {
    /// The session's name.
    pub session_id: String,
    /// The agent of the session.
    pub agent_id: AgentId,
    /// The task.
    pub task_id: TaskId,
    /// The task it runs after.
    pub runs_after: Option<TaskId>,
    /// Time of the event.
    pub at: At,
}
}

stored! {
/// A command became an input of the session's task.
#[derive(Eq)]
pub struct SessionContinued {
    /// The task.
    pub task_id: TaskId,
    /// The input.
    pub input_id: InputId,
    /// Time of the event.
    pub at: At,
}
}

/// The reasons a session rejects a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Fields are not valid; every fault is named.
    #[error("the command is not valid")]
    Invalid(Vec<Fault>),
    /// The session's task is not over, and the command was to be refused then.
    #[error("the session is busy with task {0}")]
    Busy(TaskId),
    /// The session has another task than the one looked up: look again.
    #[error("the session has moved on to task {0}")]
    MovedOn(TaskId),
}

/// The state decisions need: the newest task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The newest task.
    pub last: Option<TaskId>,
}

/// Decides the commands on a session.
#[derive(Debug)]
pub struct Session;

impl Decider for Session {
    type Command = Requested<Command>;
    type Event = Event;
    type State = State;
    type Rejection = Rejection;

    fn decide(
        state: &State,
        Requested { command, at }: &Requested<Command>,
    ) -> Result<Vec<Event>, Rejection> {
        let at = *at;
        let mut faults = Faults::default();
        let mode = mode(command.body.queue_mode.as_deref(), &mut faults);
        // A command that begins a task is checked as a whole when the task accepts it, its mode included.
        let Some(last) = state.last else { return Ok(vec![bound(command, None, at)]) };
        let Some(known) = command.last.filter(|known| known.task_id == last) else {
            return Err(Rejection::MovedOn(last));
        };
        if known.is_archived || command.body.hook_id.is_some() {
            return Ok(vec![bound(command, None, at)]);
        }
        match mode {
            Mode::Queue => Ok(vec![bound(command, Some(last), at)]),
            Mode::Reject if known.is_open => Err(Rejection::Busy(last)),
            Mode::Reject | Mode::Input => {
                check_input(&command.body, &mut faults);
                faults.into_result().map_err(Rejection::Invalid)?;
                let (task_id, input_id) = (last, command.input_id);
                Ok(vec![Event::Continued(SessionContinued { task_id, input_id, at })])
            }
        }
    }

    fn evolve(state: State, event: &Event) -> State {
        match event {
            Event::Bound(bound) => State { last: Some(bound.task_id) },
            Event::Continued(_) => state,
        }
    }
}

/// Refuses a command that cannot be an input of the session's task: one without a text, and every field no input has.
fn check_input(command: &AcceptAgentCommand, faults: &mut Faults) {
    faults.required("/message", &command.message);
    let set = serde_json::to_value(command).unwrap_or_default();
    for field in set.as_object().into_iter().flat_map(|fields| fields.keys()) {
        faults.require(
            OF_INPUTS.contains(&field.as_str()),
            &format!("/{field}"),
            "cannot apply to a follow-up; use queue_mode queue to create a separate task",
        );
    }
}

/// The fields of a command that an input has too, or that say where it goes and where it is from.
const OF_INPUTS: [&str; 6] =
    ["message", "agent_id", "session_id", "queue_mode", "input_provenance", "hook_id"];

fn bound(command: &Command, runs_after: Option<TaskId>, at: DateTime<Utc>) -> Event {
    Event::Bound(SessionBound {
        session_id: command.session_id.clone(),
        agent_id: command.agent_id,
        task_id: command.task_id,
        runs_after,
        at,
    })
}

#[cfg(test)]
mod tests {
    use capstan_decider::spec::{Given, given};
    use uuid::Uuid;

    use super::*;

    fn task(number: u128) -> TaskId {
        TaskId(Uuid::from_u128(number))
    }

    fn command(number: u128) -> Command {
        Command {
            body: AcceptAgentCommand { message: "go on".into(), ..AcceptAgentCommand::default() },
            session_id: "s".into(),
            agent_id: AgentId::from_key("dev", "demo"),
            task_id: task(number),
            input_id: InputId(Uuid::from_u128(100 + number)),
            last: Some(Last { task_id: task(1), is_open: true, is_archived: false }),
        }
    }

    fn asking(change: impl FnOnce(&mut AcceptAgentCommand)) -> Command {
        let mut command = command(2);
        change(&mut command.body);
        command
    }

    fn sent(command: Command) -> Requested<Command> {
        Requested::new(command, DateTime::UNIX_EPOCH)
    }

    fn of_mode(mode: &str) -> Command {
        asking(|asked| asked.queue_mode = Some(mode.into()))
    }

    fn one() -> Given<Session> {
        given::<Session>([]).and(sent(command(1)))
    }

    fn binds(command: Command, after: Option<TaskId>) {
        one().when(sent(command)).then_with(|events, state| {
            assert!(matches!(&events[0], Event::Bound(bound) if bound.runs_after == after));
            assert_eq!(state.last, Some(task(2)));
        });
    }

    #[test]
    fn a_command_on_a_session_with_a_task_becomes_an_input_of_it() {
        for mode in ["", "followup", " STEER ", "steer-backlog", "interrupt"] {
            one().when(sent(of_mode(mode))).then_with(|events, state| {
                assert!(matches!(&events[0], Event::Continued(continued) if continued.task_id == task(1)));
                assert_eq!(state.last, Some(task(1)));
            });
        }
    }

    #[test]
    fn a_hook_and_an_archived_task_begin_another_task_and_so_does_the_queue_behind_it() {
        binds(asking(|asked| asked.hook_id = Some("h".into())), None);
        let archived = Some(Last { task_id: task(1), is_open: false, is_archived: true });
        binds(Command { last: archived, ..command(2) }, None);
        binds(of_mode("queue"), Some(task(1)));
    }

    #[test]
    fn a_busy_session_refuses_who_wants_to_be_refused_and_takes_it_when_the_task_is_over() {
        one().when(sent(of_mode("reject"))).then_rejected(Rejection::Busy(task(1)));
        let over = Some(Last { task_id: task(1), is_open: false, is_archived: false });
        one()
            .when(sent(Command { last: over, ..of_mode("reject") }))
            .then_with(|events, _| assert!(matches!(events[0], Event::Continued(_))));
    }

    #[test]
    fn fields_a_follow_up_cannot_have_are_refused_only_where_it_is_one() {
        let command = |mode: &str| {
            asking(|asked| {
                (asked.queue_mode, asked.message) = (Some(mode.into()), " ".into());
                (asked.priority, asked.labels) = (Some("high".into()), [("a".into(), "b".into())].into());
                (asked.hook_id, asked.input_provenance) =
                    (None, [("a".into(), true.into())].into_iter().collect());
            })
        };
        one().when(sent(command("followup"))).then_rejected_with(|no| {
            let Rejection::Invalid(faults) = no else { return false };
            let pointers: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
            assert_eq!(pointers, ["/message", "/labels", "/priority"]);
            true
        });
        one().when(sent(command("later"))).then_rejected_with(|no| {
            let Rejection::Invalid(faults) = no else { return false };
            let pointers: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
            assert_eq!(pointers, ["/queue_mode", "/message", "/labels", "/priority"]);
            true
        });
        binds(command("queue"), Some(task(1)));
        given::<Session>([])
            .when(sent(command("followup")))
            .then_with(|events, _| assert_eq!(events.len(), 1));
    }

    #[test]
    fn what_was_looked_up_must_be_the_session_as_it_is() {
        for last in [None, Some(Last { task_id: task(7), is_open: true, is_archived: false })] {
            one().when(sent(Command { last, ..command(2) })).then_rejected(Rejection::MovedOn(task(1)));
        }
        one().when(sent(of_mode("later"))).then_rejected_with(|no| matches!(no, Rejection::Invalid(_)));
    }
}
