//! State and position of the projector.

use capstan_envelope::Position;
use schemars::JsonSchema;
use serde::Serialize;

/// State of the projector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum ProjectorState {
    /// Has not tried the lease yet.
    Starting,
    /// Another process holds the lease.
    Standby,
    /// Rebuilding tables of another version.
    Rebuilding,
    /// Behind the log.
    CatchingUp,
    /// At the end of the log.
    Live,
    /// The log is not the one the rows were folded from. Stopped until the read models are rebuilt.
    Diverged {
        /// The difference.
        reason: String,
    },
    /// The log contains an event this build does not know. Stopped before it until the upgrade.
    WaitingForUpgrade {
        /// Position of the event.
        position: Position,
        /// The decoding error.
        reason: String,
    },
    /// The last attempt failed; retries.
    Failing {
        /// The error.
        reason: String,
    },
    /// Stopped by its handle.
    Stopped,
}

/// State and position of the projector.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProjectorStatus {
    /// State, flattened.
    #[serde(flatten)]
    pub state: ProjectorState,
    /// The checkpoint.
    pub position: Position,
    /// The last known end of the log.
    pub head: Position,
    /// Number of commits between the two.
    pub lag_events: u64,
    /// Age of the oldest commit that is not applied yet, in seconds.
    pub lag_seconds: f64,
    /// Number of parked streams.
    pub parked_streams: usize,
}

impl Default for ProjectorStatus {
    fn default() -> Self {
        Self {
            state: ProjectorState::Starting,
            position: Position::START,
            head: Position::START,
            lag_events: 0,
            lag_seconds: 0.0,
            parked_streams: 0,
        }
    }
}
