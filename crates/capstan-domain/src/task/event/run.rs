//! Runs and their attempts.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::input_numbers::InputNumbers;
use crate::id::{AgentId, AttemptId, RunId, WorkerId};
use crate::implied::{self, At};
use crate::outcome_text::ErrorClass;
use crate::usage::Usage;

stored! {
/// A run was requested: the task waits in the queue for a worker.
pub struct RunRequested {
    /// Its number within the task, from 1.
    #[serde(with = "implied::run_no")]
    #[schemars(with = "u32")]
    pub run_no: u32,
    /// The run.
    pub run_id: RunId,
    /// The cause of the run.
    #[serde(with = "implied::cause")]
    #[schemars(with = "RunCause")]
    pub cause: RunCause,
    /// A sentence of Capstan with which the prompt for the agent begins.
    pub note: Option<String>,
    /// What the prompt goes on with: a text the task has already. Then come the messages of the inputs, in order. Texts are
    /// separated by a blank line.
    #[serde(default = "implied::opening", skip_serializing_if = "implied::is_opening")]
    #[schemars(transform = implied::drawn)]
    pub opening: Opening,
    /// Numbers of the inputs the prompt delivers; they are consumed by it.
    #[serde(default = "implied::inputs", skip_serializing_if = "implied::is_inputs")]
    #[schemars(transform = implied::drawn)]
    pub inputs: InputNumbers,
    /// True when the task was over: this run opens it again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reopens: bool,
    /// The run whose session it resumes.
    #[serde_with(skip_apply)]
    #[serde(default = "implied::previous_run", with = "implied::optional_run")]
    #[serde(skip_serializing_if = "implied::is_previous_run")]
    #[schemars(with = "Option<implied::DrawnRun>", transform = implied::drawn)]
    pub resumed_from_run_id: Option<RunId>,
    /// Since when it waits.
    pub queued_at: At,
}

/// A worker was leased an attempt of the run.
pub struct AttemptLeased {
    /// The attempt; its id fences every report of the worker.
    pub attempt_id: AttemptId,
    /// Its run.
    pub run_id: RunId,
    /// Its number within the run, from 1.
    #[serde(default = "implied::first", skip_serializing_if = "implied::is_first")]
    #[schemars(transform = implied::drawn)]
    pub attempt_no: u32,
    /// The worker.
    pub worker_id: WorkerId,
    /// The worker's name.
    pub worker_name: String,
    /// Time the lease lasts without renewal, in milliseconds.
    #[serde(default = "implied::lease_ms", skip_serializing_if = "implied::is_lease_ms")]
    #[schemars(transform = implied::drawn)]
    pub lease_ms: i64,
    /// Time of the event.
    pub leased_at: At,
}

/// The worker executes the attempt since its lease. It stands in front of the first report, in one commit, or alone where the
/// attempt has lived for a while without one.
pub struct AttemptStarted {
    /// The attempt.
    pub attempt_id: AttemptId,
    /// Its run.
    pub run_id: RunId,
}

/// The worker is to stop; until it has, or the grace is over, the session stays taken.
pub struct AttemptCancelRequested {
    /// The attempt.
    pub attempt_id: AttemptId,
    /// Its run.
    pub run_id: RunId,
    /// The reason, for people.
    #[serde(with = "implied::failure")]
    #[schemars(with = "String")]
    pub reason: String,
    /// The instant at which the engine stops waiting for the worker.
    pub grace_until: DateTime<Utc>,
}

/// The attempt ended; its lease is void.
pub struct AttemptEnded {
    /// The attempt.
    pub attempt_id: AttemptId,
    /// Its run.
    pub run_id: RunId,
    /// Its outcome.
    #[serde(with = "implied::outcome")]
    #[schemars(with = "AttemptOutcome")]
    pub outcome: AttemptOutcome,
    /// The process' exit code.
    #[serde(default, with = "implied::exit_code")]
    #[schemars(with = "Option<i32>")]
    pub exit_code: Option<i32>,
    /// The error, for people.
    #[serde(default, with = "implied::error")]
    #[schemars(with = "Option<String>")]
    pub error: Option<String>,
    /// The class of the error.
    pub error_class: Option<ErrorClass>,
    /// Time of the event.
    pub ended_at: At,
}

/// The run will be tried again: the task is back in the queue.
pub struct RetryScheduled {
    /// The run.
    pub run_id: RunId,
    /// The number of the coming attempt.
    pub attempt_no: u32,
    /// The reason, for people.
    pub reason: RetryReason,
    /// Not before this instant.
    pub available_at: At,
}

/// The run is over.
pub struct RunEnded {
    /// The run.
    pub run_id: RunId,
    /// Its outcome.
    #[serde(default = "implied::status", skip_serializing_if = "implied::is_status")]
    #[schemars(transform = implied::drawn)]
    pub status: RunStatus,
    /// The process' exit code.
    #[serde(default = "implied::exit_code", skip_serializing_if = "implied::is_exit_code")]
    #[schemars(transform = implied::drawn)]
    pub exit_code: Option<i32>,
    /// The error, for people.
    #[serde(default = "implied::error", skip_serializing_if = "implied::is_error", with = "implied::error")]
    #[schemars(with = "Option<String>", transform = implied::drawn)]
    pub error: Option<String>,
    /// The result of the agent, when the worker reports it.
    pub result: Option<Value>,
    /// Time of the event.
    pub ended_at: At,
}

/// Tokens and money were used; records of a run add up.
pub struct UsageRecorded {
    /// The attempt.
    pub attempt_id: AttemptId,
    /// The run.
    pub run_id: RunId,
    /// The agent whose budget is charged.
    pub agent_id: Option<AgentId>,
    /// Usage since the last record.
    #[serde(with = "crate::usage::stored")]
    #[schemars(with = "Usage")]
    pub usage: Usage,
    /// Time of the event.
    pub at: At,
}
}

impl RunRequested {
    /// True when its agent would be told nothing.
    pub(in crate::task) fn tells_nothing(&self) -> bool {
        self.note.is_none() && self.opening == Opening::Nothing && self.inputs.is_empty()
    }
}

choice! {
/// The cause of a run.
pub enum RunCause {
    /// The command was accepted.
    Accepted = "accepted",
    /// An input arrived, or was left over.
    Input = "input",
    /// The sleep is over.
    Wake = "wake",
    /// A caller requested another run.
    Retry = "retry",
    /// An input took the place of what was running.
    Interrupt = "interrupt",
    /// The subtasks it waited for are over.
    Subtasks = "subtasks",
    /// Its budget was raised.
    Budget = "budget",
    /// The tool call it waited for was decided and executed.
    ToolCall = "tool_call",
}

/// A text of the task that the prompt of a run repeats.
pub enum Opening {
    /// None.
    Nothing = "nothing",
    /// The message of the task, as it stands then.
    Message = "message",
    /// The prompt of the run before; before the first run, the message.
    LastPrompt = "last_prompt",
    /// The follow-up the agent planned when it went to sleep.
    FollowUp = "follow_up",
}

/// The outcome of an attempt.
pub enum AttemptOutcome {
    /// The attempt succeeded.
    Ok = "ok",
    /// The attempt failed.
    Error = "error",
    /// Out of time.
    Timeout = "timeout",
    /// Its worker stopped renewing the lease, or returned it.
    Lost = "lost",
    /// It was asked to stop.
    Cancelled = "cancelled",
}

/// The status of a run.
pub enum RunStatus {
    /// Waits for a worker.
    Accepted = "accepted",
    /// A worker executes it.
    Running = "running",
    /// Ended successfully.
    Ok = "ok",
    /// Ended in an error.
    Error = "error",
    /// Out of time.
    Timeout = "timeout",
    /// Was cancelled.
    Cancelled = "cancelled",
}

/// The reason for another attempt.
pub enum RetryReason {
    /// The attempt failed, and another may help.
    RetryableError = "retryable_error",
    /// The model's provider requires a pause.
    RateLimited = "rate_limited",
    /// The worker stopped renewing the lease.
    LeaseLost = "lease_lost",
    /// The worker returned the attempt.
    Returned = "returned",
}
}

impl RunStatus {
    /// True when the run has ended.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Ok | Self::Error | Self::Timeout | Self::Cancelled)
    }
}
