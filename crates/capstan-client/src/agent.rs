//! Agents: who does the work.

use capstan_contract::command::CreateAgent;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{Client, Error, Page};

/// An agent as the server shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agent {
    /// The agent.
    pub id: Uuid,
    /// Its key.
    pub agent_key: String,
    /// The display name.
    pub name: String,
    /// False when it takes no new work.
    #[serde(default)]
    pub active: Option<bool>,
    /// Every other field, by its wire name.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Client {
    /// Creates an agent; the answer is `{receipt, agent}`.
    pub async fn create_agent(&self, agent: &CreateAgent) -> Result<Value, Error> {
        self.of_workspace(Method::POST, &["agents"]).json(agent).answer().await
    }

    /// Reads an agent by id or key.
    pub async fn agent(&self, id_or_key: &str) -> Result<Agent, Error> {
        self.of_workspace(Method::GET, &["agents", id_or_key]).answer().await
    }

    /// Changes an agent: the fields of `changes` that are there, null empties a score, a budget or a key of the
    /// configuration. Only if it stands at `version`, when one is given. The answer is `{receipt, agent}`.
    pub async fn update_agent(
        &self,
        id_or_key: &str,
        changes: &Value,
        version: Option<u64>,
    ) -> Result<Value, Error> {
        let call = self.of_workspace(Method::PATCH, &["agents", id_or_key]).if_match(version);
        call.json(changes).answer().await
    }

    /// Deletes an agent; with `cancel_open`, its open tasks are cancelled first. The answer is
    /// `{receipt, cancelled_tasks}`.
    pub async fn delete_agent(&self, id_or_key: &str, cancel_open: bool) -> Result<Value, Error> {
        let call = self.of_workspace(Method::DELETE, &["agents", id_or_key]);
        call.query(&[("cancel_open", cancel_open)]).answer().await
    }

    /// Reads the statistics of an agent.
    pub async fn agent_stats(&self, id_or_key: &str) -> Result<Value, Error> {
        self.of_workspace(Method::GET, &["agents", id_or_key, "stats"]).answer().await
    }

    /// The configuration of an agent with this key that is given none.
    pub async fn agent_defaults(&self, agent_key: &str) -> Result<Value, Error> {
        let call = self.of_workspace(Method::GET, &["agents", "defaults"]);
        call.query(&[("agent_key", agent_key)]).answer().await
    }

    /// Lists agents.
    pub async fn agents(&self) -> Result<Page<Agent>, Error> {
        self.of_workspace(Method::GET, &["agents"]).answer().await
    }
}
