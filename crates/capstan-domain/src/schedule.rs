//! A schedule: the same prompt to the same agent, again and again, at the times of a cron expression.
//!
//! Invariants:
//! 1. An active schedule knows its next tick; a paused or deleted one has none.
//! 2. A tick ends exactly once: it fires, is skipped, or is missed. Each of these is an event that names the next one.
//! 3. The next tick is strictly later than the instant it was computed at, and than every tick that fired.
//! 4. A stored expression, zone and option can be read; a command with any other is refused.
//!
//! ```text
//! (none) ──create──► active ◄──resume── paused
//!                      │ └──pause, agent gone──►│
//!                      └──────── delete ────────┴──► deleted
//! ```
//!
//! A tick and its task are decided apart and recorded together: [`firing`] has the task an event asks for.

mod catch_up;
pub mod command;
mod decide;
mod definition;
pub mod event;
pub mod firing;
mod rhythm;
pub mod state;
#[cfg(test)]
mod tests;

use capstan_decider::Decider;

use crate::{Fault, Requested};

pub use catch_up::{CATCH_UP_MAX, LATE_MS};
pub use command::Command;
pub use command::{JITTER_MS_MAX, SKILL_PATHS_MAX};
pub use definition::{CatchUp, Definition, Overlap};
pub use event::Event;
pub use rhythm::{Next, Rhythm};
pub use state::{Schedule, State};

/// The reasons a schedule rejects a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Fields are not valid.
    #[error("the schedule is not valid")]
    Invalid(Vec<Fault>),
    /// The prompt is too long.
    #[error("prompt exceeds {limit_bytes} bytes")]
    TooLarge {
        /// The limit.
        limit_bytes: usize,
    },
    /// There is no such schedule, or it was deleted.
    #[error("no schedule of this id exists")]
    NotFound,
    /// A schedule of this id exists.
    #[error("a schedule of this id exists already")]
    Exists,
    /// The agent takes no commands.
    #[error("agent {0} takes no commands")]
    AgentInactive(String),
}

/// Decides the commands of a schedule.
#[derive(Debug)]
pub struct ScheduleDecider;

impl Decider for ScheduleDecider {
    type Command = Requested<Command>;
    type Event = Event;
    type State = State;
    type Rejection = Rejection;

    fn decide(state: &State, command: &Requested<Command>) -> Result<Vec<Event>, Rejection> {
        decide::decide(state, command)
    }

    fn evolve(state: State, event: &Event) -> State {
        state::evolve(state, event)
    }
}
