//! Commands about runs and their attempts: leased, started, lost, ended.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::{AttemptId, RunId, WorkerId};
use crate::outcome_text::ErrorClass;
use crate::task::command::blocker::OpenBlocker;
use crate::task::command::plan::SubtaskSpec;
use crate::task::event::{AgendaItem, AttemptOutcome, Join, SourceWatch};
use crate::usage::Usage;

/// Leases an attempt of the queued run to a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The run that was chosen.
    pub run_id: RunId,
    /// The worker.
    pub worker_id: WorkerId,
    /// The worker's name.
    pub worker_name: String,
    /// Time the lease lasts without renewal, in milliseconds.
    pub lease_ms: i64,
}

/// The worker executes the attempt: it has renewed its lease, and reported nothing for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartAttempt {
    /// The attempt.
    pub attempt_id: AttemptId,
}

/// The lease expired, because the worker stopped renewing it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpireLease {
    /// The attempt whose lease it is.
    pub attempt_id: AttemptId,
    /// The reason, for people.
    pub reason: String,
}

/// The worker gives an attempt back unfinished, because it leaves: another worker may try at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReturnAttempt {
    /// Reason; free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// An attempt that was asked to stop is over without a report of its worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseAttempt {
    /// The attempt.
    pub attempt_id: AttemptId,
    /// The cause.
    pub cause: ReleaseCause,
}

/// The cause of the end of an attempt whose worker did not report it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleaseCause {
    /// Its grace is over.
    GraceOver,
    /// No renewal of its lease was ever answered `ok`, so its worker has not executed it and has nothing to report.
    NeverRenewed,
}

/// The attempt ran longer than it may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeOutAttempt {
    /// The attempt that reports it.
    pub attempt_id: AttemptId,
    /// Grace of the worker to stop, in milliseconds.
    pub grace_ms: i64,
}

/// The task waited longer than its queue TTL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpireQueue {
    /// The run whose wait it is.
    pub run_id: RunId,
}

/// The attempt is over: how it ended and what is to follow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FinishAttempt {
    /// Outcome of the attempt.
    pub outcome: ReportedOutcome,
    /// The process' exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Error message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Class of the error, if the worker knows it: it decides whether the run is retried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_class: Option<ErrorClass>,
    /// Delay requested by the provider before a retry, in milliseconds; more than a day counts as a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<i64>,
    /// Usage that was not reported before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The agent waits for an answer.
    #[serde(default)]
    pub waiting_for_input: bool,
    /// The question, when it was not opened before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocker: Option<OpenBlocker>,
    /// Sleep and come back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake: Option<WakePlan>,
    /// Subtasks to make, when the outcome is `ok`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subtasks: Vec<SubtaskSpec>,
    /// Subtasks the task waits for: `none` (default), `all` or `any`; the latter two need subtasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join: Option<Join>,
    /// Things outside to wait for, when the outcome is `ok`; each names a query, a thread or a message. Absent, what is
    /// watched stays watched, and an empty list ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_watches: Option<Vec<SourceWatch>>,
    /// Result of the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
}

impl FinishAttempt {
    /// The end of an attempt with this outcome, and nothing to follow.
    pub fn new(outcome: ReportedOutcome) -> Self {
        Self {
            outcome,
            exit_code: None,
            error: None,
            error_class: None,
            retry_after_ms: None,
            usage: None,
            waiting_for_input: false,
            blocker: None,
            wake: None,
            subtasks: Vec::new(),
            join: None,
            source_watches: None,
            result: None,
        }
    }
}

/// Time and reason of a wake-up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WakePlan {
    /// Delay in minutes; 5 when absent or 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_minutes: Option<i64>,
    /// At this instant, or at once when it has passed; excludes a delay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime<Utc>>,
    /// Reason; free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Prompt of the run that the wake-up starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow_up_prompt: Option<String>,
    /// Agenda of the wake-up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agenda: Vec<AgendaItem>,
}

/// Records what an attempt used since its last report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecordUsage {
    /// Tokens and cost.
    pub usage: Usage,
}

/// The outcome of an attempt by its worker's own account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReportedOutcome {
    /// The attempt succeeded.
    Ok,
    /// The attempt failed.
    Error,
    /// Out of time.
    Timeout,
    /// It was asked to stop.
    Cancelled,
}

impl From<ReportedOutcome> for AttemptOutcome {
    fn from(outcome: ReportedOutcome) -> Self {
        match outcome {
            ReportedOutcome::Ok => Self::Ok,
            ReportedOutcome::Error => Self::Error,
            ReportedOutcome::Timeout => Self::Timeout,
            ReportedOutcome::Cancelled => Self::Cancelled,
        }
    }
}
