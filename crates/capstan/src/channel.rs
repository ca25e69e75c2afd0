//! `capstan channel`: binds external addresses to a workspace.

use capstan_contract::command::{DeleteChannelBinding, UpsertChannelBinding};
use capstan_contract::query::ListChannelBindings;
use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use crate::argument::json;
use crate::output::Format;
use crate::remote::Remote;

/// Bind, list and release channels.
#[derive(Args)]
pub(crate) struct ChannelCommand {
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
    /// Bind a channel, or replace its binding.
    Put {
        /// Type of the channel, for example email.
        channel_type: String,
        /// Address of the channel.
        address: String,
        /// Agent that receives the messages, by id or key; without one the workspace receives them.
        #[arg(long)]
        agent: Option<String>,
        /// Configuration, a JSON object.
        #[arg(long, value_parser = json::<Map<String, Value>>)]
        config: Option<Map<String, Value>>,
        /// Accept no messages.
        #[arg(long)]
        inactive: bool,
    },
    /// List bindings.
    List {
        /// Only bindings of this agent.
        #[arg(long)]
        agent: Option<String>,
    },
    /// Release a channel, so that any workspace may bind it.
    Delete { channel_type: String, address: String },
}

impl ChannelCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let client = self.remote.client()?;
        match self.action {
            Action::Put { channel_type, address, agent, config, inactive } => {
                let binding = UpsertChannelBinding {
                    channel_type,
                    address,
                    agent_id: agent,
                    config: config.unwrap_or_default(),
                    active: inactive.then_some(false),
                };
                let bound = client.send(&binding).await?;
                self.output.object(&bound["channel"])
            }
            Action::List { agent } => {
                let query = ListChannelBindings { agent_id: agent, ..ListChannelBindings::default() };
                let page = client.send(&query).await?;
                match self.output {
                    Format::Json => self.output.object(&page),
                    Format::Table => {
                        self.output.list(&page.items, &["channel_type", "address", "agent_id", "active"])
                    }
                }
            }
            Action::Delete { channel_type, address } => {
                self.output.object(&client.send(&DeleteChannelBinding { channel_type, address }).await?)
            }
        }
    }
}
