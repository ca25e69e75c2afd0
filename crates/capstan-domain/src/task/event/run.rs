//! Runs and their attempts.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::{AgentId, AttemptId, InputId, RunId, WorkerId};
use crate::outcome_text::ErrorClass;
use crate::usage::Usage;

stored! {
/// A run was asked for: the task waits in the queue for a worker.
pub struct RunRequested {
    /// The run.
    pub run_id: RunId,
    /// Its number within the task, from 1.
    pub run_no: u32,
    /// Why it was asked for.
    pub cause: RunCause,
    /// What the agent is told.
    pub prompt: String,
    /// Inputs this prompt delivers; they are consumed by it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub input_ids: Vec<InputId>,
    /// True when the task was over: this run opens it again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reopens: bool,
    /// The run whose session it resumes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed_from_run_id: Option<RunId>,
    /// Since when it waits.
    pub queued_at: DateTime<Utc>,
}

/// A worker was given a try at the run.
pub struct AttemptLeased {
    /// The try, and the fence of everything the worker says about it.
    pub attempt_id: AttemptId,
    /// The run it tries.
    pub run_id: RunId,
    /// Its number within the run, from 1.
    pub attempt_no: u32,
    /// The worker.
    pub worker_id: WorkerId,
    /// The worker's name.
    pub worker_name: String,
    /// How long the lease lasts without renewal, in milliseconds.
    pub lease_ms: i64,
    /// When.
    pub leased_at: DateTime<Utc>,
}

/// The worker began to execute.
pub struct AttemptStarted {
    /// The try.
    pub attempt_id: AttemptId,
    /// Its run.
    pub run_id: RunId,
    /// When.
    pub started_at: DateTime<Utc>,
}

/// The worker is to stop; until it has, or the grace is over, the session stays taken.
pub struct AttemptCancelRequested {
    /// The try.
    pub attempt_id: AttemptId,
    /// Its run.
    pub run_id: RunId,
    /// Why.
    pub reason: String,
    /// When the engine stops waiting for the worker.
    pub grace_until: DateTime<Utc>,
}

/// The try is over; its lease is void.
pub struct AttemptEnded {
    /// The try.
    pub attempt_id: AttemptId,
    /// Its run.
    pub run_id: RunId,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// The process' exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether another try may help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_class: Option<ErrorClass>,
    /// When.
    pub ended_at: DateTime<Utc>,
}

/// The run will be tried again: the task is back in the queue.
pub struct RetryScheduled {
    /// The run.
    pub run_id: RunId,
    /// The number of the coming attempt.
    pub attempt_no: u32,
    /// Why.
    pub reason: RetryReason,
    /// Not before this instant.
    pub available_at: DateTime<Utc>,
}

/// The run is over.
pub struct RunEnded {
    /// The run.
    pub run_id: RunId,
    /// How it ended.
    pub status: RunStatus,
    /// The process' exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What the agent answered, when the worker reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// When.
    pub ended_at: DateTime<Utc>,
}

/// Tokens and money were used; records of a run add up.
pub struct UsageRecorded {
    /// The run.
    pub run_id: RunId,
    /// The attempt.
    pub attempt_id: AttemptId,
    /// Whose budget it is charged to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<AgentId>,
    /// What was used since the last record.
    pub usage: Usage,
    /// When.
    pub at: DateTime<Utc>,
}
}

choice! {
/// Why a run was asked for.
pub enum RunCause {
    /// The command was accepted.
    Accepted,
    /// An input arrived, or was left over.
    Input,
    /// The sleep is over.
    Wake,
    /// A caller asked for another try.
    Retry,
    /// An input took the place of what was running.
    Interrupt,
    /// The subtasks it waited for are over.
    Subtasks,
    /// Its budget was raised.
    Budget,
    /// The tool call it waited for was decided and carried out.
    ToolCall,
}

/// How an attempt ended.
pub enum AttemptOutcome {
    /// Well.
    Ok,
    /// With an error.
    Error,
    /// Out of time.
    Timeout,
    /// Its worker fell silent or gave it back.
    Lost,
    /// It was told to stop.
    Cancelled,
}

/// Where a run stands.
pub enum RunStatus {
    /// Waits for a worker.
    Accepted,
    /// A worker executes it.
    Running,
    /// Ended well.
    Ok,
    /// Ended in an error.
    Error,
    /// Out of time.
    Timeout,
    /// Was cancelled.
    Cancelled,
}

/// Why a run is tried again.
pub enum RetryReason {
    /// The attempt failed, and another may help.
    RetryableError,
    /// The model's provider asked for a pause.
    RateLimited,
    /// The worker fell silent.
    LeaseLost,
    /// The worker gave the attempt back.
    Returned,
}
}

impl RunStatus {
    /// True when the run has ended.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Ok | Self::Error | Self::Timeout | Self::Cancelled)
    }

    /// The wire word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Running => "running",
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
        }
    }
}
