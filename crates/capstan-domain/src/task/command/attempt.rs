//! Requests about runs and their attempts: given, begun, lost, ended.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::id::{AttemptId, RunId, WorkerId};
use crate::outcome_text::ErrorClass;
use crate::task::command::blocker::BlockerSpec;
use crate::task::command::plan::FanOut;
use crate::task::event::{AgendaItem, AttemptOutcome};
use crate::usage::Usage;

/// Gives a try at the queued run to a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The run that was chosen.
    pub run_id: RunId,
    /// To whom.
    pub worker_id: WorkerId,
    /// The worker's name.
    pub worker_name: String,
    /// For how long without renewal, in milliseconds.
    pub lease_ms: i64,
    /// When.
    pub at: DateTime<Utc>,
}

/// The worker begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The fence.
    pub attempt_id: AttemptId,
    /// When.
    pub at: DateTime<Utc>,
}

/// The lease ran out, or the worker gave the attempt back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpireLease {
    /// The fence.
    pub attempt_id: AttemptId,
    /// True when the worker gave it back, false when it fell silent.
    pub returned: bool,
    /// Why, for people.
    pub reason: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// The grace of a cancelled attempt is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseAttempt {
    /// The fence.
    pub attempt_id: AttemptId,
    /// When.
    pub at: DateTime<Utc>,
}

/// The attempt ran longer than it may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeOutAttempt {
    /// The fence.
    pub attempt_id: AttemptId,
    /// How long the worker has to stop, in milliseconds.
    pub grace_ms: i64,
    /// When.
    pub at: DateTime<Utc>,
}

/// The task waited longer than its queue TTL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpireQueue {
    /// The run whose wait it is.
    pub run_id: RunId,
    /// When.
    pub at: DateTime<Utc>,
}

/// The worker reports the end of an attempt: outcome and what is to follow (`RunResultEnvelope`).
#[derive(Clone, Debug, PartialEq)]
pub struct Finish {
    /// The fence.
    pub attempt_id: AttemptId,
    /// How it ended; `Lost` is not a worker's to say.
    pub outcome: AttemptOutcome,
    /// The process' exit code.
    pub exit_code: Option<i32>,
    /// What went wrong.
    pub error: Option<String>,
    /// Whether another try may help, when the worker knows.
    pub error_class: Option<ErrorClass>,
    /// How long the provider asks to wait, in milliseconds.
    pub retry_after_ms: Option<i64>,
    /// What was used and not reported before.
    pub usage: Option<Usage>,
    /// The agent waits for an answer.
    pub waiting_for_input: bool,
    /// The question, when it was not opened before.
    pub blocker: Option<BlockerSpec>,
    /// Sleep and come back.
    pub wake: Option<WakePlan>,
    /// Children to make and things to watch.
    pub fan_out: FanOut,
    /// What the agent answered.
    pub result: Option<Value>,
    /// When.
    pub at: DateTime<Utc>,
}

/// When and why to come back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WakePlan {
    /// In so many minutes; none or not positive means five.
    pub delay_minutes: Option<i64>,
    /// At this instant; wins over the delay.
    pub at: Option<DateTime<Utc>>,
    /// Why.
    pub reason: Option<String>,
    /// What the agent is told then.
    pub follow_up_prompt: Option<String>,
    /// What is planned.
    pub agenda: Vec<AgendaItem>,
}

/// Reports what was used since the last report.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordUsage {
    /// The fence.
    pub attempt_id: AttemptId,
    /// What was used.
    pub usage: Usage,
    /// When.
    pub at: DateTime<Utc>,
}
