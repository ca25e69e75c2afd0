use capstan_domain::id::WorkerId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lease::{SLOTS_MAX, WAIT_MS_MAX};

/// Leases attempts to a worker; waits a while when there are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeaseAttempts {
    /// Id of the worker.
    pub worker_id: WorkerId,
    /// Largest number of attempts to lease; 1 by default.
    #[serde(default = "one")]
    #[schemars(range(max = SLOTS_MAX))]
    pub max: u32,
    /// Longest wait for work, in milliseconds; 0 by default.
    #[serde(default)]
    #[schemars(range(max = WAIT_MS_MAX))]
    pub wait_ms: u64,
}

fn one() -> u32 {
    1
}
