use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Deletes an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeleteAgent {
    /// Id or key of the agent.
    pub agent_id: String,
    /// Cancels its open tasks first; without it an agent with open tasks is not deleted.
    #[serde(default)]
    pub cancel_open: bool,
}
