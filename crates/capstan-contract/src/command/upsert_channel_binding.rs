use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Binds a channel to the workspace, or replaces its binding.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UpsertChannelBinding {
    /// Kind of channel, for example `email`.
    pub channel_type: String,
    /// Address of the channel.
    pub address: String,
    /// Id or key of the agent that receives messages; the workspace when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// Configuration; all of it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub config: Map<String, Value>,
    /// False stops the delivery of messages; true when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
}
