use capstan_domain::id::WorkerId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Leases attempts to a worker; waits a while when there are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeaseAttempts {
    /// Id of the worker.
    pub worker_id: WorkerId,
    /// Largest number of attempts to lease; 1 by default, at most 10,000.
    #[serde(default = "one")]
    #[schemars(range(max = 10_000))]
    pub max: u32,
    /// Longest wait for work, in milliseconds; 0 by default, at most 30,000.
    #[serde(default)]
    #[schemars(range(max = 30_000))]
    pub wait_ms: u64,
}

fn one() -> u32 {
    1
}
