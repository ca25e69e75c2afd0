//! `capstan workspace`: create, read and change workspaces.

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::agent::json;
use crate::output::Format;
use crate::remote::Remote;

/// Create, read and change workspaces.
#[derive(Args)]
pub(crate) struct WorkspaceCommand {
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
    /// Create a workspace.
    Create {
        /// Name of the workspace, part of every URL.
        name: String,
    },
    /// Show the workspace and its settings.
    Get,
    /// Change the workspace; omitted fields keep their value.
    Update {
        /// Display name.
        #[arg(long)]
        display_name: Option<String>,
        /// Settings to change, a JSON object, for example `{"quotas": {"agents_max": 5}}`.
        #[arg(long, value_parser = json)]
        settings: Option<Value>,
        /// Fail unless the workspace has this version.
        #[arg(long)]
        if_version: Option<u64>,
    },
}

impl WorkspaceCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let client = self.remote.client()?;
        match self.action {
            Action::Create { name } => {
                self.output.object(&client.create_workspace(&name).await?["workspace"])
            }
            Action::Get => self.output.object(&client.workspace_details().await?),
            Action::Update { display_name, settings, if_version } => {
                let mut changes = serde_json::json!({});
                if let Some(name) = display_name {
                    changes["display_name"] = name.into();
                }
                if let Some(settings) = settings {
                    changes["settings"] = settings;
                }
                self.output.object(&client.update_workspace(&changes, if_version).await?["workspace"])
            }
        }
    }
}
