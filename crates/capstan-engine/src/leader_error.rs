//! Failures of a leader.

use capstan_dispatch::{ReadFailure, SnapshotError};
use capstan_envelope::{CodecError, Position};
use capstan_eventlog::ReadError;
use tokio::task::JoinError;

/// The reason a leader was not able to begin or continue.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LeaderError {
    /// The open tasks were not loaded.
    #[error("begin to lead: load the open tasks")]
    OpenTasks(#[from] SnapshotError),
    /// A task was not loaded.
    #[error("begin to lead: load a task")]
    Load(#[from] ReadFailure),
    /// The log was not followed.
    #[error("lead: follow the log")]
    Log(#[from] ReadError),
    /// A commit of a newer build: wait for the upgrade, or for another engine.
    #[error("lead: read the commit at {position}, which a newer build wrote")]
    NewerBuild {
        /// The commit's position.
        position: Position,
        /// The event this build does not know.
        #[source]
        source: CodecError,
    },
    /// The temporary file for states failed.
    #[error("begin to lead: keep states in a temporary file")]
    StateFile(#[from] std::io::Error),
    /// A state was not written or read as this build writes it: a defect.
    #[error("begin to lead: keep the state of a task")]
    State(#[source] serde_json::Error),
    /// The subjects were not subscribed to.
    #[error("begin to lead: subscribe to the engine's subjects")]
    Serve(#[from] async_nats::SubscribeError),
    /// A defect.
    #[error("lead: a command of the engine panicked")]
    Panicked(#[source] JoinError),
}

impl LeaderError {
    /// The failure in one sentence. Not its causes: they may name addresses, or hold parts of what was stored. The event of a
    /// newer build is named, not shown.
    pub(crate) fn obstacle(&self) -> String {
        match self {
            Self::Log(source) | Self::Load(ReadFailure::Read(source)) => source.to_string(),
            Self::Load(ReadFailure::Unreadable(source)) => source.to_string(),
            Self::Load(source) => source.to_string(),
            Self::NewerBuild { source, .. } => format!("{self}: {source}"),
            Self::OpenTasks(_) | Self::StateFile(_) | Self::State(_) | Self::Serve(_) | Self::Panicked(_) => {
                self.to_string()
            }
        }
    }

    /// True when another try may succeed.
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::OpenTasks(source) => source.is_retryable(),
            Self::Load(source) => source.is_retryable(),
            Self::Log(source) => source.is_retryable(),
            Self::Serve(_) | Self::StateFile(_) | Self::Panicked(_) => true,
            Self::State(_) | Self::NewerBuild { .. } => false,
        }
    }
}
