use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Deletes an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteAgent {
    /// Repeats under the same key are answered with the first outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// The agent, by id or key. Needed where no path names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// Cancels its open tasks first; without it an agent with open tasks is not deleted.
    #[serde(default)]
    pub cancel_open: bool,
}
