//! Outcomes of effects, as the process receives them.

use capstan_domain::task::{Event, State};
use capstan_domain::{class, schedule};

/// The outcome of an order to a task.
#[derive(Debug)]
pub enum Settled {
    /// The task accepted it.
    Decided {
        /// The task's version now.
        version: u64,
        /// The task now.
        state: State,
        /// The recorded events; empty when it changed nothing.
        events: Vec<Event>,
    },
    /// The task refused it: this view of the task was stale.
    Refused,
    /// It could not be recorded; its fate may be unknown.
    Failed {
        /// True when a repeat may succeed.
        is_retryable: bool,
    },
}

/// The outcome of a load of a task.
#[derive(Debug)]
pub enum Loaded {
    /// The task as the log has it.
    State {
        /// Its version.
        version: u64,
        /// The task.
        state: State,
    },
    /// It could not be read.
    Failed {
        /// True when a repeat may succeed.
        is_retryable: bool,
    },
}

/// The outcome of a command to a class.
#[derive(Debug)]
pub enum ClassSettled {
    /// The class accepted it.
    Decided {
        /// Its version now.
        version: u64,
        /// The class now.
        state: class::State,
    },
    /// It could not be recorded; its fate may be unknown.
    Failed {
        /// True when a repeat may succeed.
        is_retryable: bool,
    },
}

/// The outcome of an order to a schedule, or of a load of one.
#[derive(Debug)]
pub enum ScheduleSettled {
    /// The schedule as the log has it.
    State {
        /// Its version.
        version: u64,
        /// The schedule.
        state: schedule::State,
    },
    /// It could not be read or recorded.
    Failed {
        /// True when a repeat may succeed.
        is_retryable: bool,
    },
}

/// The outcome of a call to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolAnswer {
    /// The endpoint answered.
    Answered {
        /// The exit code it gave.
        exit_code: Option<i32>,
        /// The tool's output.
        stdout: String,
        /// The tool's error output.
        stderr: String,
        /// The error of a call that failed.
        error: Option<String>,
    },
    /// It gave no answer, or was not able to act now: another try may help.
    Failed {
        /// The error.
        error: String,
        /// True when the call may have been executed all the same.
        is_unknown: bool,
    },
}
