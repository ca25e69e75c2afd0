//! What failures of the machinery become. Callers learn whether trying again helps, and nothing else.

use capstan_engine::EngineError;
use capstan_eventlog::{AppendError, ReadError, SnapshotError, TelemetryError};

use super::{Code, Problem};

impl Problem {
    /// A fault of this service.
    pub fn internal(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::new(Code::InternalError, "the request met a fault of this service").because(source)
    }
}

impl From<AppendError> for Problem {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Unavailable { .. } => Self::new(
                Code::LogUnavailable,
                "the command is not known to be stored; repeat it with the same key",
            )
            .because(error),
            AppendError::TooLarge { limit_bytes, .. } => {
                Self::new(Code::PayloadTooLarge, format!("what is to be stored exceeds {limit_bytes} bytes"))
            }
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
                Self::new(Code::LogUnavailable, "the log cannot be read for now").because(error)
            }
            ReadError::Corrupt { .. } => Self::internal(error),
        }
    }
}

impl From<SnapshotError> for Problem {
    fn from(error: SnapshotError) -> Self {
        if error.is_retryable() {
            Self::new(Code::ReadModelUnavailable, "the read models cannot be reached for now").because(error)
        } else {
            Self::internal(error)
        }
    }
}

impl From<TelemetryError> for Problem {
    fn from(error: TelemetryError) -> Self {
        Self::new(Code::LogUnavailable, "log lines cannot be written or read for now").because(error)
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::UnknownWorker => {
                Self::new(Code::NotFound, "the engine does not know this worker; register it again")
            }
            EngineError::Unavailable { .. } => {
                Self::new(Code::EngineUnavailable, "no engine answers for now").because(error)
            }
            EngineError::Unreadable { .. } | EngineError::Unexpected => Self::internal(error),
        }
    }
}
