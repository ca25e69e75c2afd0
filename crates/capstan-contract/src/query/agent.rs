use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Lists the agents of a workspace, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListAgents {}

/// Reads an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetAgent {
    /// Agent id, key or similar name.
    pub agent_id: String,
}

/// Reads a configuration the agent has or had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetAgentConfig {
    /// Agent id, key or similar name.
    pub agent_id: String,
    /// Number of the configuration, from 1; a task names it in `payload_json.agent_config_version`.
    #[schemars(range(min = 1))]
    pub version: u64,
}

/// Reads the default configuration of an agent with this key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetDefaultConfig {
    /// Key of the agent.
    pub agent_key: Option<String>,
}

/// Reads the statistics of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetAgentStats {
    /// Agent id, key or similar name.
    pub agent_id: String,
}
