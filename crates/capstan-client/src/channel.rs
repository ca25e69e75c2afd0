//! Channel bindings: which outside addresses belong to a workspace.

use capstan_contract::command::UpsertChannelBinding;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{Client, Error, Page};

/// A channel binding as the server shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Channel {
    /// The binding.
    pub id: Uuid,
    /// The type of the channel, for example `email`.
    pub channel_type: String,
    /// Its address.
    pub address: String,
    /// The agent that receives the messages; the workspace when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<Uuid>,
    /// True when messages are accepted.
    #[serde(default)]
    pub active: Option<bool>,
    /// Every other field, by its wire name.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Client {
    /// Binds a channel, or replaces what its binding says; the answer is `{receipt, channel}`.
    pub async fn put_channel(&self, binding: &UpsertChannelBinding) -> Result<Value, Error> {
        let path = ["channels", &*binding.channel_type, &*binding.address];
        self.of_workspace(Method::PUT, &path).json(binding).answer().await
    }

    /// Lists the bindings of the workspace, or of one agent.
    pub async fn channels(&self, agent: Option<&str>) -> Result<Page<Channel>, Error> {
        let query: Vec<(&str, &str)> = agent.map(|agent| ("agent_id", agent)).into_iter().collect();
        self.of_workspace(Method::GET, &["channels"]).query(&query).answer().await
    }

    /// Releases a channel; the answer is `{receipt}`.
    pub async fn delete_channel(&self, channel_type: &str, address: &str) -> Result<Value, Error> {
        self.of_workspace(Method::DELETE, &["channels", channel_type, address]).answer().await
    }
}
