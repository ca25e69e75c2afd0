//! `capstan channel`: which outside addresses belong to a workspace.

use capstan_client::NewChannel;
use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use crate::output::Format;
use crate::remote::Remote;

/// Bind, list and release channels.
#[derive(Args)]
pub(crate) struct ChannelCommand {
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
    /// Bind a channel, or replace what its binding says.
    Put {
        /// What kind of channel, for example email.
        channel_type: String,
        /// Its address.
        address: String,
        /// Whom messages are for, by id or key; the workspace when absent.
        #[arg(long)]
        agent: Option<String>,
        /// Its configuration, a JSON object.
        #[arg(long, value_parser = object)]
        config: Option<Map<String, Value>>,
        /// Take no messages for now.
        #[arg(long)]
        inactive: bool,
    },
    /// List bindings.
    List {
        /// Only those of this agent.
        #[arg(long)]
        agent: Option<String>,
    },
    /// Release a channel: any workspace may bind it then.
    Delete { channel_type: String, address: String },
}

fn object(text: &str) -> Result<Map<String, Value>, serde_json::Error> {
    serde_json::from_str(text)
}

impl ChannelCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let client = self.remote.client()?;
        match self.action {
            Action::Put { channel_type, address, agent, config, inactive } => {
                let channel = NewChannel {
                    agent_id: agent,
                    config: config.unwrap_or_default(),
                    active: inactive.then_some(false),
                };
                let bound = client.put_channel(&channel_type, &address, &channel).await?;
                self.output.object(&bound["channel"])
            }
            Action::List { agent } => {
                let page = client.channels(agent.as_deref()).await?;
                match self.output {
                    Format::Json => self.output.object(&page),
                    Format::Table => {
                        self.output.list(&page.items, &["channel_type", "address", "agent_id", "active"])
                    }
                }
            }
            Action::Delete { channel_type, address } => {
                self.output.object(&client.delete_channel(&channel_type, &address).await?)
            }
        }
    }
}
