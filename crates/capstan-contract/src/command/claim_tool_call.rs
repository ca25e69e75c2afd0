use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A worker wants an approved call of a tool it carries out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClaimToolCall {
    /// How long it waits for one, in milliseconds; at most 30 000.
    #[serde(default)]
    pub wait_ms: u64,
}
