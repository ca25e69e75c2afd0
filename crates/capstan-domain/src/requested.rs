//! A command with the time it was received at.

use chrono::{DateTime, Utc};

/// A command as deciders take it: what the caller sent, and the time, which no caller can send.
///
/// Other facts that a decision needs and no caller sends (fresh ids, looked-up state, limits of the server) stand beside
/// the command in the variants of a decider's command type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requested<C> {
    /// The command.
    pub command: C,
    /// Time the command was received, in whole milliseconds.
    pub at: DateTime<Utc>,
}

impl<C> Requested<C> {
    /// A command received at this time.
    pub fn new(command: impl Into<C>, at: DateTime<Utc>) -> Self {
        Self { command: command.into(), at }
    }
}
