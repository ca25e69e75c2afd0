//! Commands about runs and their attempts: leased, started, lost, ended.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::{AttemptId, RunId, WorkerId};
use crate::outcome_text::ErrorClass;
use crate::task::command::blocker::BlockerSpec;
use crate::task::command::plan::FanOut;
use crate::task::event::{AgendaItem, AttemptOutcome};
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

/// Starts the attempt: the worker begins to execute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StartAttempt {}

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

/// The grace of a cancelled attempt is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseAttempt {
    /// The attempt that reports it.
    pub attempt_id: AttemptId,
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

/// The worker reports the end of an attempt: outcome and what is to follow (`RunResultEnvelope`).
#[derive(Clone, Debug, PartialEq)]
pub struct Finish {
    /// The attempt that reports it.
    pub attempt_id: AttemptId,
    /// Its outcome; a worker cannot report `Lost`.
    pub outcome: AttemptOutcome,
    /// The process' exit code.
    pub exit_code: Option<i32>,
    /// The error, for people.
    pub error: Option<String>,
    /// The class of the error, when the worker knows it.
    pub error_class: Option<ErrorClass>,
    /// Pause the provider asks for, in milliseconds.
    pub retry_after_ms: Option<i64>,
    /// Usage not reported before.
    pub usage: Option<Usage>,
    /// The agent waits for an answer.
    pub waiting_for_input: bool,
    /// The question, when it was not opened before.
    pub blocker: Option<BlockerSpec>,
    /// A sleep, if the task is to come back.
    pub wake: Option<WakePlan>,
    /// Children to make and things to watch.
    pub fan_out: FanOut,
    /// The result of the agent.
    pub result: Option<Value>,
}

impl Finish {
    /// A report of nothing but an outcome.
    pub fn new(attempt_id: AttemptId, outcome: AttemptOutcome) -> Self {
        Self {
            attempt_id,
            outcome,
            exit_code: None,
            error: None,
            error_class: None,
            retry_after_ms: None,
            usage: None,
            waiting_for_input: false,
            blocker: None,
            wake: None,
            fan_out: FanOut::default(),
            result: None,
        }
    }
}

/// A request to sleep and come back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WakePlan {
    /// Delay in minutes; none or not positive means five.
    pub delay_minutes: Option<i64>,
    /// At this instant; wins over the delay.
    pub at: Option<DateTime<Utc>>,
    /// The reason, for people.
    pub reason: Option<String>,
    /// The prompt for the agent then.
    pub follow_up_prompt: Option<String>,
    /// The agenda.
    pub agenda: Vec<AgendaItem>,
}

/// Records what an attempt used since its last report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecordUsage {
    /// Tokens and cost.
    pub usage: Usage,
}
