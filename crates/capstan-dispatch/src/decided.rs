//! The answer to an executed command.

use std::sync::Arc;

use capstan_decider::Decider;
use capstan_envelope::{Position, StreamHead};

/// A stream in memory: its end and its state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded<S> {
    /// The expectation of the next append, and the repeatable commands that were applied.
    pub head: StreamHead,
    /// The folded state.
    pub state: S,
}

/// The outcome of a command that was not refused.
pub struct Decided<D: Decider> {
    /// The recorded events; those of the first time when the command was a repeat, none when it changed nothing.
    pub events: Vec<D::Event>,
    /// The stream as it is now.
    pub loaded: Arc<Loaded<D::State>>,
    /// Read models at this position show the command's effect.
    pub position: Position,
    /// The stream's version right after the command.
    pub version: u64,
    /// True when the command had been executed before: nothing was done now.
    pub duplicate: bool,
    /// True when this very call recorded something.
    pub changed: bool,
}

impl<D: Decider> Decided<D> {
    /// Its name in metrics.
    pub(crate) fn as_outcome(&self) -> &'static str {
        match self {
            Self { duplicate: true, .. } => "duplicate",
            Self { changed: true, .. } => "recorded",
            Self { .. } => "nothing",
        }
    }
}

impl<D: Decider<Event: std::fmt::Debug>> std::fmt::Debug for Decided<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decided")
            .field("events", &self.events)
            .field("position", &self.position)
            .field("version", &self.version)
            .field("duplicate", &self.duplicate)
            .field("changed", &self.changed)
            .finish_non_exhaustive()
    }
}
