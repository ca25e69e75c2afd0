use capstan_domain::id::WorkerId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lease::WAIT_MS_MAX;

/// Claims an approved call of a tool the worker executes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClaimToolCall {
    /// Id of the worker.
    pub worker_id: WorkerId,
    /// Longest wait for a call, in milliseconds; 0 by default.
    #[serde(default)]
    #[schemars(range(max = WAIT_MS_MAX))]
    pub wait_ms: u64,
}
