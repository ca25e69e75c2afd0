//! Problems from rejections of the deciders and errors of the dispatcher.

use capstan_dispatch::{DispatchError, ReadFailure};
use capstan_domain::{agent, channel, class, schedule, session, task, token, workspace};

use super::{Code, Problem};

impl From<task::Rejection> for Problem {
    fn from(rejection: task::Rejection) -> Self {
        use task::Rejection as R;
        let detail = rejection.to_string();
        match rejection {
            R::Invalid(faults) => Self::invalid(faults),
            R::TooLarge { .. } => Self::new(Code::PayloadTooLarge, detail),
            R::Full { .. } | R::FullInNumber { .. } => Self::new(Code::TaskFull, detail),
            R::NotFound | R::PartNotFound(_) => Self::new(Code::NotFound, detail),
            R::Exists => Self::new(Code::TaskExists, detail),
            R::AgentInactive(_) => Self::new(Code::AgentInactive, detail),
            R::IllegalTransition { .. } => Self::new(Code::IllegalTransition, detail),
            R::LeaseLost { current_epoch } => {
                Self { current_epoch: Some(current_epoch), ..Self::new(Code::LeaseLost, detail) }
            }
            R::OutputConflict => Self::new(Code::OutputConflict, detail),
            R::Archived => Self::new(Code::TaskArchived, detail),
            R::BlockerClosed => Self::new(Code::BlockerClosed, detail),
            R::MessageRequired => {
                let fault = Self::invalid_field("/message", detail);
                Self { code: Code::MessageRequired, ..fault }
            }
            R::NotAnApprover(_) => Self::new(Code::Forbidden, detail),
            R::Unchecked(_) => Self::new(Code::Contended, detail),
        }
    }
}

impl From<agent::Rejection> for Problem {
    fn from(rejection: agent::Rejection) -> Self {
        let detail = rejection.to_string();
        match rejection {
            agent::Rejection::Invalid(faults) => Self::invalid(faults),
            agent::Rejection::Exists(_) => Self::new(Code::AgentExists, detail),
            agent::Rejection::NotFound => Self::new(Code::NotFound, detail),
            agent::Rejection::HasOpenTasks(_) => Self::new(Code::AgentHasOpenTasks, detail),
        }
    }
}

impl From<channel::Rejection> for Problem {
    fn from(rejection: channel::Rejection) -> Self {
        let detail = rejection.to_string();
        match rejection {
            channel::Rejection::Invalid(faults) => Self::invalid(faults),
            channel::Rejection::Taken => Self::new(Code::ChannelTaken, detail),
            channel::Rejection::NotFound => Self::new(Code::NotFound, detail),
        }
    }
}

impl From<class::Rejection> for Problem {
    fn from(class::Rejection::Invalid(faults): class::Rejection) -> Self {
        Self::invalid(faults)
    }
}

impl From<schedule::Rejection> for Problem {
    fn from(rejection: schedule::Rejection) -> Self {
        use schedule::Rejection as R;
        let detail = rejection.to_string();
        match rejection {
            R::Invalid(faults) => Self::invalid(faults),
            R::TooLarge { .. } => Self::new(Code::PayloadTooLarge, detail),
            R::NotFound => Self::new(Code::NotFound, detail),
            // Its id is derived from the key, so another command used the key.
            R::Exists => Self::new(Code::IdempotencyConflict, detail),
            R::AgentInactive(_) => Self::new(Code::AgentInactive, detail),
        }
    }
}

impl From<token::Rejection> for Problem {
    fn from(rejection: token::Rejection) -> Self {
        let detail = rejection.to_string();
        match rejection {
            token::Rejection::Invalid(faults) => Self::invalid(faults),
            // Its id is random or derived from a key, and a repeat under that key is answered earlier.
            token::Rejection::Exists(_) => Self::new(Code::IdempotencyConflict, detail),
            token::Rejection::NotFound => Self::not_found("token"),
        }
    }
}

impl From<session::Rejection> for Problem {
    fn from(rejection: session::Rejection) -> Self {
        let detail = rejection.to_string();
        match rejection {
            session::Rejection::Invalid(faults) => Self::invalid(faults),
            session::Rejection::Busy(_) => Self::new(Code::SessionBusy, detail),
            session::Rejection::MovedOn(_) => Self::new(Code::Contended, detail),
        }
    }
}

impl From<workspace::Rejection> for Problem {
    fn from(rejection: workspace::Rejection) -> Self {
        let detail = rejection.to_string();
        match rejection {
            workspace::Rejection::Invalid(faults) => Self::invalid(faults),
            workspace::Rejection::NotFound => Self::new(Code::NotFound, detail),
            workspace::Rejection::Exists(_) => Self::new(Code::WorkspaceExists, detail),
        }
    }
}

impl<R: Into<Problem> + std::fmt::Debug + Send + Sync + 'static> From<DispatchError<R>> for Problem {
    fn from(error: DispatchError<R>) -> Self {
        match error {
            DispatchError::Rejected(rejection) => rejection.into(),
            DispatchError::IdempotencyConflict => {
                Self::new(Code::IdempotencyConflict, "the idempotency key was used before with another body")
            }
            DispatchError::KeyArchived => Self::new(
                Code::IdempotencyKeyArchived,
                "the idempotency key was used before; what the command was answered is archived",
            ),
            DispatchError::VersionMismatch { current } => Self {
                current_version: Some(current),
                ..Self::new(Code::VersionMismatch, format!("the entity is at version {current}"))
            },
            DispatchError::Contended => {
                Self::new(Code::Contended, "too many commands change this entity at once")
            }
            DispatchError::Log(source) => source.into(),
            DispatchError::Read(source) => source.into(),
            DispatchError::Unreadable(source) => source.into(),
            DispatchError::Codec(source) => Self::internal(source),
            DispatchError::Snapshot(source) => source.into(),
            DispatchError::Broken { stream, position } => {
                Self::internal(ReadFailure::Broken { stream, position })
            }
            DispatchError::Archived { stream, position } => {
                Self::internal(ReadFailure::Archived { stream, position })
            }
        }
    }
}

impl From<ReadFailure> for Problem {
    fn from(failure: ReadFailure) -> Self {
        match failure {
            ReadFailure::Read(source) => source.into(),
            ReadFailure::Snapshot(source) => source.into(),
            ReadFailure::Unreadable(source) => source.into(),
            failure @ (ReadFailure::Broken { .. } | ReadFailure::Archived { .. }) => Self::internal(failure),
        }
    }
}
