//! `capstan agent`: create and read agents.

use capstan_client::NewAgent;
use clap::{Args, Subcommand};

use crate::output::Format;
use crate::remote::Remote;

/// Create and read agents.
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
        }
    }
}
