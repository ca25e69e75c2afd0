//! `capstan agent`: create, read, change and delete agents.

use capstan_client::CreateAgent;
use clap::{Args, Subcommand};
use serde_json::Value;

use crate::output::Format;
use crate::remote::Remote;

/// Create, read, change and delete agents.
#[derive(Args)]
pub(crate) struct AgentCommand {
    #[command(flatten)]
    remote: Remote,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t, global = true)]
    output: Format,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Create an agent.
    Create {
        /// Stable key of the agent.
        key: String,
        /// Display name.
        name: String,
        /// Configuration, a JSON object.
        #[arg(long)]
        config: Option<String>,
    },
    /// List agents.
    List,
    /// Show one agent, by id or key.
    Get { agent: String },
    /// Change an agent; omitted fields keep their value.
    Update(Update),
    /// Delete an agent.
    Delete {
        /// Id or key of the agent.
        agent: String,
        /// Cancel the agent's open tasks first.
        #[arg(long)]
        cancel_open: bool,
    },
    /// Show the statistics of an agent.
    Stats { agent: String },
    /// Show the default configuration of an agent with this key.
    Defaults {
        #[arg(default_value = "")]
        key: String,
    },
}

#[derive(Args)]
struct Update {
    /// Id or key of the agent.
    agent: String,
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
    quality_score: Option<Value>,
    /// Cost budget in US dollars; `none` removes it.
    #[arg(long, value_parser = number_or_none)]
    cost_budget_usd: Option<Value>,
    /// Changed keys of the configuration, a JSON object; null removes a key.
    #[arg(long, value_parser = json)]
    config: Option<Value>,
    /// `false` refuses new commands for the agent.
    #[arg(long)]
    active: Option<bool>,
    /// Fail unless the agent has this version.
    #[arg(long)]
    if_version: Option<u64>,
}

impl Update {
    /// The given fields as a JSON object.
    fn changes(&self) -> Value {
        let text = |text: &Option<String>| text.clone().map(Value::from);
        let fields = [
            ("name", text(&self.name)),
            ("role", text(&self.role)),
            ("memory_scope", text(&self.memory_scope)),
            ("quality_score", self.quality_score.clone()),
            ("cost_budget_usd", self.cost_budget_usd.clone()),
            ("config", self.config.clone()),
            ("active", self.active.map(Value::from)),
        ];
        fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

fn number_or_none(text: &str) -> Result<Value, String> {
    if text == "none" {
        return Ok(Value::Null);
    }
    text.parse::<f64>().map(Value::from).map_err(|_| "must be a number or none".to_owned())
}

/// Reads an argument that is JSON.
pub(crate) fn json(text: &str) -> Result<Value, serde_json::Error> {
    serde_json::from_str(text)
}

impl AgentCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let client = self.remote.client()?;
        match self.action {
            Action::Create { key, name, config } => {
                let config =
                    config.map(|config| serde_json::from_str(&config)).transpose()?.unwrap_or_default();
                let agent = CreateAgent { agent_key: key, name, config, ..CreateAgent::default() };
                self.output.object(&client.create_agent(&agent).await?)
            }
            Action::List => {
                let page = client.agents().await?;
                match self.output {
                    Format::Json => self.output.object(&page),
                    Format::Table => self.output.list(&page.items, &["id", "agent_key", "name", "active"]),
                }
            }
            Action::Get { agent } => self.output.object(&client.agent(&agent).await?),
            Action::Update(update) => {
                let changed =
                    client.update_agent(&update.agent, &update.changes(), update.if_version).await?;
                self.output.object(&changed["agent"])
            }
            Action::Delete { agent, cancel_open } => {
                self.output.object(&client.delete_agent(&agent, cancel_open).await?)
            }
            Action::Stats { agent } => self.output.object(&client.agent_stats(&agent).await?),
            Action::Defaults { key } => self.output.object(&client.agent_defaults(&key).await?),
        }
    }
}
