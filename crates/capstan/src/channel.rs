//! `capstan channel`: binds external addresses to a workspace.

use capstan_client::Client;
use capstan_contract::command::{DeleteChannelBinding, UpsertChannelBinding};
use capstan_contract::query::ListChannelBindings;
use clap::Subcommand;
use serde_json::{Map, Value};

use crate::argument::json;
use crate::output::Format;
use crate::remote_command::RemoteAction;

#[derive(Subcommand)]
pub(crate) enum Action {
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
    Delete {
        /// Type of the channel, for example email.
        channel_type: String,
        /// Address of the channel.
        address: String,
    },
}

impl RemoteAction for Action {
    async fn run(self, client: &Client, output: Format) -> anyhow::Result<()> {
        match self {
            Self::Put { channel_type, address, agent, config, inactive } => {
                let binding = UpsertChannelBinding {
                    channel_type,
                    address,
                    agent_id: agent,
                    config: config.unwrap_or_default(),
                    active: inactive.then_some(false),
                };
                let bound = client.send(&binding).await?;
                output.object(&bound["channel"])
            }
            Self::List { agent } => {
                let query = ListChannelBindings { agent_id: agent, ..ListChannelBindings::default() };
                output.page(&client.send(&query).await?, &["channel_type", "address", "agent_id", "active"])
            }
            Self::Delete { channel_type, address } => {
                output.object(&client.send(&DeleteChannelBinding { channel_type, address }).await?)
            }
        }
    }
}
