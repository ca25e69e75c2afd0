//! The reasons a task rejects a command.

use crate::Fault;
use crate::task::transitions::TaskState;

/// The reasons a task rejects a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Fields are not valid; every fault is named.
    #[error("the command is not valid")]
    Invalid(Vec<Fault>),
    /// A text is longer than allowed.
    #[error("{field} exceeds {limit_bytes} bytes")]
    TooLarge {
        /// The field.
        field: &'static str,
        /// The limit.
        limit_bytes: usize,
    },
    /// The task holds so much that it takes no more of this.
    #[error("the task is full: its {what} may have at most {limit_bytes} bytes together")]
    Full {
        /// The part that is full.
        what: &'static str,
        /// The limit.
        limit_bytes: usize,
    },
    /// The task has so many of these that it takes no more.
    #[error("the task is full: it may have at most {limit} {what}")]
    FullInNumber {
        /// The part that is full.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// There is no such task.
    #[error("there is no such task")]
    NotFound,
    /// The task has no such run, input or output.
    #[error("the task has no such {0}")]
    PartNotFound(&'static str),
    /// The task was accepted before, by another command.
    #[error("the task exists already")]
    Exists,
    /// The agent takes no commands.
    #[error("agent {0} is not active")]
    AgentInactive(String),
    /// The state does not allow it.
    #[error("{what} is not possible while the {subject} is {state}", state = state.as_ref())]
    IllegalTransition {
        /// The action, for example `cancelling`.
        what: &'static str,
        /// `task` or `run`.
        subject: &'static str,
        /// The state it is in.
        state: std::borrow::Cow<'static, str>,
    },
    /// The caller does not hold the task's lease.
    #[error("the attempt has ended or does not hold the lease; the task's current epoch is {current_epoch}")]
    LeaseLost {
        /// The last epoch the task gave out.
        current_epoch: u64,
    },
    /// The task has an output of this id, and it was made as something else.
    #[error("the task has another output under this id")]
    OutputConflict,
    /// The blocker named is not open.
    #[error("the blocker is not open")]
    BlockerClosed,
    /// The input has neither a text nor a decision.
    #[error("message is required")]
    MessageRequired,
    /// The task is archived.
    #[error("the task is archived")]
    Archived,
    /// The caller is not one of those the question asks.
    #[error("{0}")]
    NotAnApprover(String),
    /// The open question has an answer schema the input was not checked against: check it, and submit it again.
    #[error("the answer must be checked against the schema of blocker {0}")]
    Unchecked(crate::id::BlockerId),
}

impl Rejection {
    /// The stable code callers rely on (`docs/rules.md`, "Errors").
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "validation_failed",
            Self::TooLarge { .. } => "payload_too_large",
            Self::Full { .. } | Self::FullInNumber { .. } => "task_full",
            Self::NotFound | Self::PartNotFound(_) => "not_found",
            Self::Exists => "task_exists",
            Self::AgentInactive(_) => "agent_inactive",
            Self::IllegalTransition { .. } => "illegal_transition",
            Self::LeaseLost { .. } => "lease_lost",
            Self::OutputConflict => "output_conflict",
            Self::BlockerClosed => "blocker_closed",
            Self::MessageRequired => "message_required",
            Self::Archived => "task_archived",
            Self::NotAnApprover(_) => "forbidden",
            Self::Unchecked(_) => "contended",
        }
    }

    pub(super) fn illegal(what: &'static str, state: TaskState) -> Self {
        Self::IllegalTransition { what, subject: "task", state: state.as_str().into() }
    }

    pub(super) fn invalid(pointer: &str, message: &str) -> Self {
        Self::Invalid(vec![Fault { pointer: pointer.to_owned(), message: message.to_owned() }])
    }
}
