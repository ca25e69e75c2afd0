//! A task: one command to an agent and everything that follows from it: runs, attempts, inbox, blockers,
//! outputs. They change together, so they are one stream and one decider.
//!
//! Invariants:
//! 1. The state changes only along [`transitions::TRANSITIONS`].
//! 2. A task that is not over always has an owner: a queue entry, a live attempt, a timer or an open blocker
//!    ([`Task::owner`]).
//! 3. At most one attempt is live. Every worker call names its lease epoch; a stale one changes nothing.
//! 4. Everything that follows from a finished attempt is decided in one step ([`settlement`]).
//! 5. An accepted input is consumed exactly once, or is visibly pending.
//! 6. A blocker ends in the same decision as the state change that ends it.
//!
//! ```text
//!            ┌────────── retry, input, wake ───────────┐
//!            ▼                                         │
//! (none) ─► queued ──lease──► running ──settle──► done │ error │ cancelled │ sleeping
//!     └───► sleeping ─wake─►    │  ▲
//!                     blocker ▼  │ answer
//!                            waiting
//! ```
//!
//! Floors, top to bottom; a file uses only floors below its own, and a test holds it:
//! 1. `decide`: the table of rules, one line per command;
//! 2. rules: `accept`, `blocker`, `budget`, `inbox`, `lifecycle`, `outputs`, `settlement`, `subtasks`, `timers`,
//!    `tool_call`, `watches`, `worker_report`. A rule never calls another rule;
//! 3. `steps`: moves that several rules share;
//! 4. `evolve`: the table of events; `output_feed`;
//! 5. `state`: the task, its parts, and the change each event makes to them;
//! 6. `command`, `event`, `rejection`, `spending`, `transitions`, and `words`, the choices callers type: values.

pub mod accept;
mod blocker;
pub mod bounds;
mod budget;
pub mod command;
mod decide;
pub mod event;
mod evolve;
#[cfg(test)]
mod fixture;
mod inbox;
mod lifecycle;
pub mod output_feed;
mod outputs;
pub mod rejection;
pub mod settlement;
mod shortened;
pub mod spending;
pub mod state;
mod steps;
pub mod subtasks;
pub mod timers;
pub mod tool_call;
pub mod transitions;
mod watches;
pub(crate) mod words;
mod worker_report;

pub use command::Command;
pub use event::Event;
pub use rejection::Rejection;
pub use state::{State, StoredProgress, Task};
pub use transitions::TaskState;

use capstan_decider::Decider;

use crate::{Fault, Requested};

/// Refuses a command for a fault that the rules cannot see, together with the faults they name.
pub fn refusal(state: &State, command: &Requested<Command>, fault: Fault) -> Rejection {
    match decide::decide(state, command) {
        Err(Rejection::Invalid(mut faults)) => {
            faults.push(fault);
            Rejection::Invalid(faults)
        }
        Err(other) => other,
        Ok(_) => Rejection::Invalid(vec![fault]),
    }
}

/// Decides the commands of a task.
#[derive(Debug)]
pub struct TaskDecider;

impl Decider for TaskDecider {
    type Command = Requested<Command>;
    type Event = Event;
    type State = State;
    type Rejection = Rejection;

    fn decide(state: &State, command: &Requested<Command>) -> Result<Vec<Event>, Rejection> {
        decide::decide(state, command)
    }

    fn evolve(state: State, event: &Event) -> State {
        evolve::evolve(state, event)
    }
}
