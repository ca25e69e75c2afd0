//! What the projector says about itself.

use capstan_envelope::Position;
use schemars::JsonSchema;
use serde::Serialize;

/// What the projector is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum ProjectorState {
    /// Not there yet.
    Starting,
    /// Another process holds the lease.
    Standby,
    /// Making tables of a new version.
    Rebuilding,
    /// Behind the log.
    CatchingUp,
    /// At the end of the log.
    Live,
    /// The log is not the one the rows were made from. Stopped until the read models are rebuilt.
    Diverged {
        /// What differs.
        reason: String,
    },
    /// The log holds an event this build does not know. Stopped in front of it until the upgrade.
    WaitingForUpgrade {
        /// Where the event stands.
        position: Position,
        /// What was met.
        reason: String,
    },
    /// Something failed; tries again.
    Failing {
        /// What failed.
        reason: String,
    },
    /// Told to stop.
    Stopped,
}

/// The projector's state and how far it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProjectorStatus {
    /// What it is doing.
    #[serde(flatten)]
    pub state: ProjectorState,
    /// The checkpoint.
    pub position: Position,
    /// Where the log ended when last asked.
    pub head: Position,
    /// Commits between the two.
    pub lag_events: u64,
    /// Age of the oldest commit that is not applied yet, in seconds.
    pub lag_seconds: f64,
    /// Streams that wait behind a commit that cannot be folded.
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
