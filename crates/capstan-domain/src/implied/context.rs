//! The commit at hand: what it says besides its events, and what its events said so far.
//!
//! serde hands no context to the functions of a field, so the context stands in a variable of the thread. [`within`] and
//! [`within_row`] alone set it, around one call.

use std::cell::{Cell, RefCell};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::id::{AgentId, AttemptId, BlockerId, InputId, OutputId, RunId, TaskId, ToolCallId};
use crate::policy::RunPolicy;
use crate::task::event::{
    AttemptOutcome, BlockerKind, InputSource, ItemDecision, Join, OutputStatus, RunCause, Verdict,
};

/// What a commit says besides its events.
#[derive(Clone, Debug)]
pub struct Implied {
    /// Workspace of the stream.
    pub workspace: String,
    /// Id of the entity, where it is a UUID.
    pub entity: Option<Uuid>,
    /// Time of the decision.
    pub at: DateTime<Utc>,
    /// Name of the caller; absent for workers, the engine and Capstan itself.
    pub client: Option<String>,
    /// Wire name of the command.
    pub command: String,
    /// Idempotency key of the command.
    pub key: Option<String>,
}

/// The last run that was spoken of.
#[derive(Clone, Copy, Debug)]
pub(super) enum SaidRun {
    /// That with this number, as named by its number or by the epoch of its attempt.
    Number(u32),
    /// That with this id.
    Id(RunId),
}

/// What the events of a commit said so far, the last value of each kind. An event is written and read in the same order of
/// fields, so both sides know the same. A field that is absent is filled in when the others of its event are read: what it
/// repeats must not be said by a field behind it.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) run: Option<SaidRun>,
    pub(super) attempt: Option<AttemptId>,
    pub(super) blocker: Option<BlockerId>,
    pub(super) revision: Option<u32>,
    pub(super) blocker_kind: Option<BlockerKind>,
    pub(super) input: Option<InputId>,
    /// Number and source of the input spoken of last; a caller is no source.
    pub(super) input_no: Option<u32>,
    pub(super) source: Option<InputSource>,
    /// True while the fields between an input's number and its message are written.
    pub(super) is_input_open: bool,
    pub(super) tool_call: Option<ToolCallId>,
    pub(super) message: Option<String>,
    /// The caller's text of an input whose agent receives another one.
    pub(super) text: Option<String>,
    /// Texts that a message may quote.
    pub(super) quotable: Vec<String>,
    pub(super) action: Option<Verdict>,
    pub(super) items: Vec<ItemDecision>,
    /// The output whose status changes, and that status.
    pub(super) output: Option<OutputId>,
    pub(super) output_status: Option<OutputStatus>,
    /// The place among the items of the next decision that is carried out.
    pub(super) next_item: usize,
    pub(super) cause: Option<RunCause>,
    pub(super) outcome: Option<AttemptOutcome>,
    pub(super) exit_code: Option<i32>,
    pub(super) error: Option<String>,
    pub(super) agent_key: Option<String>,
    pub(super) agent: Option<AgentId>,
    pub(super) lane: Option<String>,
    pub(super) policy: Option<RunPolicy>,
    pub(super) summary: Option<String>,
    pub(super) details: Option<String>,
    /// The arguments of a tool call as a person reads them.
    pub(super) arguments: Option<String>,
    pub(super) tick: Option<DateTime<Utc>>,
    /// The schedule that made the task, and its occasion.
    pub(super) schedule_id: Option<String>,
    pub(super) occasion: Option<String>,
    /// The label a schedule gives the task.
    pub(super) label: Option<String>,
    pub(super) parent: Option<TaskId>,
    /// The place of the subtask spoken of, and the number of them so far.
    pub(super) subtask: Option<u32>,
    pub(super) subtasks: u32,
    /// The subtasks that a run requested together, and its wait for them.
    pub(super) together: Vec<TaskId>,
    pub(super) join: Option<Join>,
    /// The workspace that holds a channel.
    pub(super) tenant: Option<String>,
    /// The fingerprint of the batch for which a watch fired.
    pub(super) batch: Option<String>,
}

struct Current {
    implied: Implied,
    /// Absent in a row, whose parts are no events of one commit.
    said: Option<Said>,
}

thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
    static READING: Cell<Reading> = const { Cell::new(Reading { is_complete: true, unknown_default: None }) };
}

/// Reads or writes all stored events of one commit, in their order.
pub fn within<T>(implied: Implied, read_or_write: impl FnOnce() -> T) -> T {
    with(Current { implied, said: Some(Said::default()) }, read_or_write)
}

/// Reads or writes a row, which leaves out what its stream says.
pub(crate) fn within_row<T>(implied: Implied, read_or_write: impl FnOnce() -> T) -> T {
    with(Current { implied, said: None }, read_or_write)
}

fn with<T>(current: Current, read_or_write: impl FnOnce() -> T) -> T {
    struct Restore(Option<Current>);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.set(self.0.take());
        }
    }
    let _before = Restore(CURRENT.replace(Some(current)));
    read_or_write()
}

/// How the reading of one event went, beside its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// True when something says each field that is left out.
    pub is_complete: bool,
    /// A frozen default that it refers to, and the version of it that this build does not have. The value is an error then.
    pub unknown_default: Option<(&'static str, u64)>,
}

/// Reads one event or state, and tells how it went.
pub fn reading<T>(read: impl FnOnce() -> T) -> (T, Reading) {
    READING.set(Reading { is_complete: true, unknown_default: None });
    let value = read();
    (value, READING.get())
}

/// Notes a reference to a version of a frozen default that this build does not have, which [`reading`] tells.
pub(crate) fn unknown_default(name: &'static str, found: u64) {
    READING.set(Reading { unknown_default: Some((name, found)), ..READING.get() });
}

/// The place holder of a field that is absent although nothing says it, which [`reading`] tells.
pub(super) fn unsaid<T>(place_holder: T) -> T {
    READING.set(Reading { is_complete: false, ..READING.get() });
    place_holder
}

pub(crate) fn is_stored() -> bool {
    CURRENT.with_borrow(Option::is_some)
}

/// What the commit says besides its events.
pub(super) fn implied<T>(value: impl FnOnce(&Implied) -> Option<T>) -> Option<T> {
    CURRENT.with_borrow(|current| current.as_ref().and_then(|current| value(&current.implied)))
}

/// The task of the stream.
pub(super) fn this_task() -> Option<TaskId> {
    implied(|implied| implied.entity).map(TaskId)
}

/// The workspace of the stream.
pub(super) fn this_workspace() -> Option<String> {
    implied(|implied| Some(implied.workspace.clone()))
}

/// What its events said so far.
pub(super) fn said<T>(value: impl FnOnce(&Said) -> Option<T>) -> Option<T> {
    CURRENT.with_borrow(|current| current.as_ref().and_then(|current| value(current.said.as_ref()?)))
}

/// Notes what an event says.
pub(super) fn say(note: impl FnOnce(&mut Said)) {
    CURRENT.with_borrow_mut(|current| {
        if let Some(said) = current.as_mut().and_then(|current| current.said.as_mut()) {
            note(said);
        }
    });
}
