//! Problems from failures of the log, the read models and the engine. They say only whether a retry helps.

use capstan_engine::EngineError;
use capstan_envelope::{Position, UnreadableCommit};
use capstan_eventlog::{AppendError, ReadError, SnapshotError, TelemetryError};

use super::{Code, Problem};

impl Problem {
    /// An internal error.
    pub fn internal(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::new(Code::InternalError, "internal error").because(source)
    }
}

impl From<AppendError> for Problem {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Unavailable { .. } => {
                Self::new(Code::LogUnavailable, "the command may not be stored; repeat it with the same key")
                    .because(error)
            }
            AppendError::TooLarge { limit_bytes, .. } => Self::new(
                Code::PayloadTooLarge,
                format!("the events of the command exceed {limit_bytes} bytes"),
            ),
            AppendError::Conflict { .. } => {
                Self::new(Code::Contended, "too many commands change this entity at once")
            }
            AppendError::Invalid { .. } => Self::internal(error),
        }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unavailable { .. } | ReadError::Diverged { .. } => {
                Self::new(Code::LogUnavailable, "the log is temporarily unavailable").because(error)
            }
            ReadError::Corrupt { position, .. } => unreadable(position).because(error),
        }
    }
}

impl From<UnreadableCommit> for Problem {
    fn from(error: UnreadableCommit) -> Self {
        unreadable(error.position).because(error)
    }
}

/// A commit that stands in the way of its stream.
fn unreadable(position: Position) -> Problem {
    let detail = format!("this version cannot read the commit at {position}; a newer one may be needed");
    Problem::new(Code::InternalError, detail)
}

impl From<SnapshotError> for Problem {
    fn from(error: SnapshotError) -> Self {
        if error.is_retryable() {
            Self::new(Code::ReadModelUnavailable, "read models are temporarily unavailable").because(error)
        } else {
            Self::internal(error)
        }
    }
}

impl From<TelemetryError> for Problem {
    fn from(error: TelemetryError) -> Self {
        Self::new(Code::LogUnavailable, "log lines are temporarily unavailable").because(error)
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::UnknownWorker => {
                Self::new(Code::NotFound, "the engine does not know this worker; register it again")
            }
            EngineError::Unavailable { .. } => {
                Self::new(Code::EngineUnavailable, "the engine is temporarily unavailable").because(error)
            }
            EngineError::Unreadable { .. } | EngineError::Unexpected => Self::internal(error),
        }
    }
}
