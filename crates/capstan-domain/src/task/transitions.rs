//! The one table of task states (domain.md 1): data, used by the tests of every decision and drawn in the docs.

use crate::task::TaskState::{self, Cancelled, Done, Dropped, Error, Queued, Running, Sleeping, Waiting};

/// A legal edge and what causes it. `from: None` is the birth of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The state before.
    pub from: Option<TaskState>,
    /// The state after.
    pub to: TaskState,
    /// What causes it, for people.
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
        "blocker opened by the worker or by settlement, tool call kept back, or budget spent",
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
