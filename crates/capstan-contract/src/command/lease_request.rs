use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A worker asks for attempts, and waits a while when there are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LeaseRequest {
    /// Largest number of attempts to lease.
    pub max: u32,
    /// Longest wait for work, in milliseconds.
    pub wait_ms: u64,
}

impl Default for LeaseRequest {
    fn default() -> Self {
        Self { max: 1, wait_ms: 0 }
    }
}
