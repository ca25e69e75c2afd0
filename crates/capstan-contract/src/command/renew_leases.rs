use capstan_domain::id::{AttemptId, WorkerId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lease::WAIT_MS_MAX;

/// Renews the leases of a worker, all at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RenewLeases {
    /// Id of the worker.
    pub worker_id: WorkerId,
    /// The leases.
    pub renewals: Vec<Renewal>,
    /// Longest time to wait for news about the attempts, in milliseconds; 0 by default.
    #[serde(default)]
    #[schemars(range(max = WAIT_MS_MAX))]
    pub wait_ms: u64,
}

/// One lease to renew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Renewal {
    /// The attempt.
    pub attempt_id: AttemptId,
    /// The epoch of its lease.
    pub epoch: u64,
}
