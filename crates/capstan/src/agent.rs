//! `capstan agent`: create, read, change and delete agents.

use capstan_client::NewAgent;
use clap::{Args, Subcommand};
use serde_json::Value;

use crate::output::Format;
use crate::remote::Remote;

/// Create, read, change and delete agents.
#[derive(Args)]
pub(crate) struct AgentCommand {
    #[command(flatten)]
    remote: Remote,
    /// How answers are printed.
    #[arg(short, long, value_enum, default_value_t, global = true)]
    output: Format,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Introduce an agent.
    Create {
        /// Its stable handle.
        key: String,
        /// Its display name.
        name: String,
        /// Its configuration, a JSON object.
        #[arg(long)]
        config: Option<String>,
    },
    /// List agents.
    List,
    /// Show one agent, by id or key.
    Get { agent: String },
    /// Change an agent; what is not given stays.
    Update(Update),
    /// Delete an agent.
    Delete {
        /// Its id or key.
        agent: String,
        /// Cancel its open tasks first.
        #[arg(long)]
        cancel_open: bool,
    },
    /// Show what an agent has done, in figures.
    Stats { agent: String },
    /// Show the configuration of an agent with this key that is given none.
    Defaults {
        #[arg(default_value = "")]
        key: String,
    },
}

#[derive(Args)]
struct Update {
    /// Its id or key.
    agent: String,
    /// Its display name.
    #[arg(long)]
    name: Option<String>,
    /// What it is for; blank for the default.
    #[arg(long)]
    role: Option<String>,
    /// What its memory covers; blank for the default.
    #[arg(long)]
    memory_scope: Option<String>,
    /// A judgement that surfaces in stats; `none` takes it away.
    #[arg(long, value_parser = number_or_none)]
    quality_score: Option<Value>,
    /// Limit of what it may cost, in US dollars; `none` lifts it.
    #[arg(long, value_parser = number_or_none)]
    cost_budget_usd: Option<Value>,
    /// Keys of its configuration, a JSON object; null removes a key.
    #[arg(long, value_parser = json)]
    config: Option<Value>,
    /// Whether it takes commands.
    #[arg(long)]
    active: Option<bool>,
    /// Only if it stands at this version.
    #[arg(long)]
    if_version: Option<u64>,
}

impl Update {
    /// The fields that were given.
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
    text.parse::<f64>().map(Value::from).map_err(|_| "give a number or none".to_owned())
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
                let mut agent = serde_json::json!({ "agent_key": key, "name": name });
                if let Some(config) = config {
                    agent["config"] = serde_json::from_str(&config)?;
                }
                let agent: NewAgent = serde_json::from_value(agent)?;
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
