//! The ways a command or a load can fail.

use capstan_envelope::{CodecError, Position, StreamId, UnreadableCommit};
use capstan_eventlog::{AppendError, ReadError, SnapshotError};

/// The reasons a stream could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ReadFailure {
    /// The log could not be read.
    #[error("load a stream: the log did not answer")]
    Read(#[from] ReadError),
    /// A stored event is unknown to this build or damaged.
    #[error("load a stream: an event of it cannot be read")]
    Unreadable(#[from] UnreadableCommit),
    /// The store of snapshots did not answer.
    #[error("load a stream: its snapshot did not come")]
    Snapshot(#[from] SnapshotError),
    /// A commit does not link to the one before it: the log lost, changed or swapped something.
    #[error("load {stream}: the commit at {position} does not follow the one before it")]
    Broken {
        /// Stream of the chain.
        stream: StreamId,
        /// The first commit that does not link.
        position: Position,
    },
    /// The commits of the stream were archived, and nothing was carried forward. Nothing can be decided about it, and it is
    /// not begun anew.
    #[error("load {stream}: it ended at {position}, which was archived without being carried forward")]
    Archived {
        /// The stream.
        stream: StreamId,
        /// Position of its last commit.
        position: Position,
    },
}

impl ReadFailure {
    /// True when asking again may succeed.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Read(source) => source.is_retryable(),
            Self::Snapshot(source) => source.is_retryable(),
            Self::Unreadable(_) | Self::Broken { .. } | Self::Archived { .. } => false,
        }
    }
}

/// The reasons a command was not executed. Every retryable failure may be repeated with the same command id: a commit
/// whose fate could not be learned is recognised by that id.
#[derive(Debug, thiserror::Error)]
pub enum DispatchError<R> {
    /// A rule says no; `R` knows why.
    #[error("execute the command: it was refused")]
    Rejected(R),
    /// The idempotency key was used before, with another body.
    #[error("execute the command: its idempotency key was used with another body")]
    IdempotencyConflict,
    /// The idempotency key was used before; what the first command was answered is archived.
    #[error("execute the command: its idempotency key was used before, and the answer is archived")]
    KeyArchived,
    /// The stream is not at the version the caller expects.
    #[error("execute the command: the stream is at version {current}")]
    VersionMismatch {
        /// Version of the stream.
        current: u64,
    },
    /// Other writers were faster too many times in a row.
    #[error("execute the command: too many writers at once")]
    Contended,
    /// The log did not take the commit.
    #[error("execute the command: it could not be recorded")]
    Log(#[source] AppendError),
    /// The log could not be read.
    #[error("execute the command: the log could not be read")]
    Read(#[source] ReadError),
    /// A commit of the stream cannot be read.
    #[error("execute the command: a commit of the stream cannot be read")]
    Unreadable(#[from] UnreadableCommit),
    /// An event could not be written.
    #[error("execute the command: an event could not be written")]
    Codec(#[from] CodecError),
    /// The store of snapshots did not answer.
    #[error("execute the command: the stream's snapshot did not come")]
    Snapshot(#[source] SnapshotError),
    /// The stream's hash chain is broken.
    #[error("execute the command: the chain of {stream} is broken at {position}")]
    Broken {
        /// Stream of the chain.
        stream: StreamId,
        /// The first commit that does not link.
        position: Position,
    },
    /// The commits of the stream were archived, and nothing was carried forward.
    #[error(
        "execute the command: {stream} ended at {position}, which was archived without being carried forward"
    )]
    Archived {
        /// The stream.
        stream: StreamId,
        /// Position of its last commit.
        position: Position,
    },
}

impl<R> DispatchError<R> {
    /// True when repeating the command, with the same command id, may succeed.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Contended => true,
            Self::Log(source) => source.is_retryable(),
            Self::Read(source) => source.is_retryable(),
            Self::Snapshot(source) => source.is_retryable(),
            Self::Rejected(_)
            | Self::IdempotencyConflict
            | Self::KeyArchived
            | Self::VersionMismatch { .. }
            | Self::Unreadable(_)
            | Self::Codec(_)
            | Self::Broken { .. }
            | Self::Archived { .. } => false,
        }
    }

    /// Its name in metrics.
    pub(crate) fn as_outcome(&self) -> &'static str {
        match self {
            Self::Rejected(_) => "rejected",
            Self::IdempotencyConflict => "idempotency_conflict",
            Self::KeyArchived => "idempotency_key_archived",
            Self::VersionMismatch { .. } => "version_mismatch",
            Self::Contended => "contended",
            Self::Log(_)
            | Self::Read(_)
            | Self::Unreadable(_)
            | Self::Codec(_)
            | Self::Snapshot(_)
            | Self::Broken { .. }
            | Self::Archived { .. } => "failed",
        }
    }
}

impl<R> From<ReadFailure> for DispatchError<R> {
    fn from(failure: ReadFailure) -> Self {
        match failure {
            ReadFailure::Read(source) => Self::Read(source),
            ReadFailure::Unreadable(source) => Self::Unreadable(source),
            ReadFailure::Snapshot(source) => Self::Snapshot(source),
            ReadFailure::Broken { stream, position } => Self::Broken { stream, position },
            ReadFailure::Archived { stream, position } => Self::Archived { stream, position },
        }
    }
}
