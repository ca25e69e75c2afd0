use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Lists the channel bindings of a workspace, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListChannelBindings {
    /// Agent id, key or similar name.
    pub agent_id: Option<String>,
    /// True for bindings without an agent only; excludes `agent_id`.
    #[serde(default)]
    pub without_agent: bool,
    /// Type of the channel.
    pub channel_type: Option<String>,
    /// True for active ones only, false for inactive ones only.
    pub active: Option<bool>,
}

/// Reads a channel binding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetChannelBinding {
    /// Type of the channel.
    pub channel_type: String,
    /// Address within the channel.
    pub address: String,
}
