//! The states of a task and the one table of their transitions: data, used by the tests of every decision and drawn in
//! `docs/task-states.md`.

use TaskState::{Cancelled, Done, Dropped, Error, Queued, Running, Sleeping, Waiting};

choice! {
/// The state of a task.
pub enum TaskState {
    /// Waits for a worker.
    Queued = "queued",
    /// An attempt is leased.
    Running = "running",
    /// Waits for an answer.
    Waiting = "waiting",
    /// Waits for a timer.
    Sleeping = "sleeping",
    /// Ended successfully.
    Done = "done",
    /// Ended in an error.
    Error = "error",
    /// Left the queue without a result.
    Dropped = "dropped",
    /// Was cancelled.
    Cancelled = "cancelled",
}
}

impl TaskState {
    /// True when nothing more happens without a new command.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Done | Self::Error | Self::Dropped | Self::Cancelled)
    }
}

/// A legal edge and what causes it. `from: None` is the birth of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The state before.
    pub from: Option<TaskState>,
    /// The state after.
    pub to: TaskState,
    /// The cause, for people.
    pub cause: &'static str,
}

const fn edge(from: TaskState, to: TaskState, cause: &'static str) -> Transition {
    Transition { from: Some(from), to, cause }
}

const fn birth(to: TaskState, cause: &'static str) -> Transition {
    Transition { from: None, to, cause }
}

/// Every legal edge.
pub const TRANSITIONS: &[Transition] = &[
    birth(Queued, "AcceptAgentCommand"),
    birth(Sleeping, "AcceptAgentCommand with a dispatch delay or not_before"),
    edge(Queued, Running, "an attempt is leased"),
    edge(Queued, Dropped, "queue TTL"),
    edge(Queued, Cancelled, "CancelTask, CancelRun, ArchiveTask or deadline"),
    edge(Sleeping, Queued, "wake timer or input"),
    edge(Sleeping, Cancelled, "CancelTask, ArchiveTask or deadline"),
    edge(
        Running,
        Waiting,
        "blocker opened by the worker or by settlement, tool call deferred, or budget spent",
    ),
    edge(Running, Done, "settlement: ok"),
    edge(Running, Error, "settlement: error or timeout"),
    edge(Running, Sleeping, "settlement: ok with a wake"),
    edge(
        Running,
        Queued,
        "settlement: retry, lost attempt, or inputs left to deliver; or an input that interrupts",
    ),
    edge(Running, Dropped, "too many lost attempts"),
    edge(Running, Cancelled, "CancelTask, CancelRun, ArchiveTask, deadline, or settlement: cancelled"),
    edge(
        Waiting,
        Running,
        "input or tool result delivered to the live attempt; or blocker deadline with a default",
    ),
    edge(
        Waiting,
        Queued,
        "input, tool result or blocker deadline when no attempt is live; budget raised; an input that interrupts; or the attempt ended with a retry or inputs left",
    ),
    edge(
        Waiting,
        Error,
        "the live attempt failed or timed out while it waited; or blocker deadline with default fail",
    ),
    edge(Waiting, Cancelled, "CancelTask, CancelRun, ArchiveTask or deadline"),
    edge(Done, Queued, "input (reopens)"),
    edge(Error, Queued, "RetryTask or input (reopens)"),
    edge(Dropped, Queued, "RetryTask or input (reopens)"),
    edge(Cancelled, Queued, "RetryTask or input (reopens)"),
];

/// True when the table has this edge; staying in a state is always allowed. A decision is judged as a whole,
/// from the state before it to every state inside it: only that is ever seen from outside.
pub fn is_legal(from: Option<TaskState>, to: TaskState) -> bool {
    from == Some(to) || TRANSITIONS.iter().any(|edge| edge.from == from && edge.to == to)
}
