use capstan_domain::id::AttemptId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Result of one renewal, with news for the worker.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RenewAnswer {
    /// The attempt.
    pub attempt_id: AttemptId,
    /// State of the worker's lease.
    pub status: RenewStatus,
    /// Reason the worker must stop.
    pub reason: Option<String>,
    /// Number of inputs waiting to be claimed.
    #[serde(default)]
    pub inputs_pending: u32,
    /// True while the task waits on a question.
    #[serde(default)]
    pub waiting: bool,
    /// True when a pending input is meant for the turn under way.
    #[serde(default)]
    pub steer: bool,
}

/// State of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RenewStatus {
    /// The worker holds the lease.
    Ok,
    /// The worker holds the lease, and must stop the attempt and report.
    Cancel,
    /// The worker does not hold the lease: it must stop the attempt and report nothing.
    Lost,
}
