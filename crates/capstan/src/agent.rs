//! `capstan agent`: create, read, change and delete agents.

use capstan_client::Client;
use capstan_contract::command::{Conditions, CreateAgent, DeleteAgent, UpdateAgent};
use capstan_contract::query::{GetAgent, GetAgentStats, GetDefaultConfig, ListAgents};
use capstan_domain::Change;
use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use crate::argument::{AgentArgument, json, number_or_none};
use crate::output::Format;
use crate::remote_command::RemoteAction;

#[derive(Subcommand)]
pub(crate) enum Action {
    /// Create an agent.
    Create {
        /// Stable key of the agent.
        key: String,
        /// Display name.
        name: String,
        /// Configuration, a JSON object.
        #[arg(long, value_parser = json::<Map<String, Value>>)]
        config: Option<Map<String, Value>>,
    },
    /// List agents.
    List,
    /// Show one agent.
    Get(AgentArgument),
    /// Change an agent; omitted fields keep their value.
    Update(Update),
    /// Delete an agent.
    Delete {
        #[command(flatten)]
        agent: AgentArgument,
        /// Cancel the agent's open tasks first.
        #[arg(long)]
        cancel_open: bool,
    },
    /// Show the statistics of an agent.
    Stats(AgentArgument),
    /// Show the default configuration of an agent with this key.
    Defaults {
        /// Key of the agent, which need not exist.
        #[arg(default_value = "")]
        key: String,
    },
}

#[derive(Args)]
pub(crate) struct Update {
    #[command(flatten)]
    agent: AgentArgument,
    /// Display name.
    #[arg(long)]
    name: Option<String>,
    /// Role of the agent; blank for the default.
    #[arg(long)]
    role: Option<String>,
    /// Scope of the agent's memory; blank for the default.
    #[arg(long)]
    memory_scope: Option<String>,
    /// Quality score shown in statistics; `none` removes it.
    #[arg(long, value_parser = number_or_none)]
    quality_score: Option<Change<f64>>,
    /// Cost budget in US dollars; `none` removes it.
    #[arg(long, value_parser = number_or_none)]
    cost_budget_usd: Option<Change<f64>>,
    /// Changed keys of the configuration, a JSON object; null removes a key.
    #[arg(long, value_parser = json::<Map<String, Value>>)]
    config: Option<Map<String, Value>>,
    /// `false` refuses new commands for the agent.
    #[arg(long)]
    active: Option<bool>,
    /// Fail unless the agent has this version.
    #[arg(long)]
    if_version: Option<u64>,
}

impl Update {
    fn command(self) -> UpdateAgent {
        UpdateAgent {
            agent_id: self.agent.agent,
            name: self.name,
            role: self.role,
            memory_scope: self.memory_scope,
            quality_score: self.quality_score.unwrap_or_default(),
            cost_budget_usd: self.cost_budget_usd.unwrap_or_default(),
            config: self.config.unwrap_or_default(),
            active: self.active,
        }
    }
}

impl RemoteAction for Action {
    async fn run(self, client: &Client, output: Format) -> anyhow::Result<()> {
        match self {
            Self::Create { key, name, config } => {
                let config = config.unwrap_or_default();
                let agent = CreateAgent { agent_key: key, name, config, ..CreateAgent::default() };
                output.object(&client.send(&agent).await?)
            }
            Self::List => output
                .page(&client.send(&ListAgents::default()).await?, &["id", "agent_key", "name", "active"]),
            Self::Get(AgentArgument { agent }) => {
                output.object(&client.send(&GetAgent { agent_id: agent }).await?)
            }
            Self::Update(update) => {
                let conditions = Conditions { expected_version: update.if_version, ..Conditions::default() };
                let changed = client.send_with(&update.command(), &conditions).await?;
                output.object(&changed["agent"])
            }
            Self::Delete { agent: AgentArgument { agent }, cancel_open } => {
                output.object(&client.send(&DeleteAgent { agent_id: agent, cancel_open }).await?)
            }
            Self::Stats(AgentArgument { agent }) => {
                output.object(&client.send(&GetAgentStats { agent_id: agent }).await?)
            }
            Self::Defaults { key } => {
                output.object(&client.send(&GetDefaultConfig { agent_key: Some(key) }).await?)
            }
        }
    }
}
