use capstan_domain::id::WorkerId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Claims an approved call of a tool the worker executes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClaimToolCall {
    /// Id of the worker.
    pub worker_id: WorkerId,
    /// Longest wait for a call, in milliseconds; at most 30,000.
    #[serde(default)]
    #[schemars(range(max = 30_000))]
    pub wait_ms: u64,
}
