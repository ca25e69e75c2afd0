//! `capstan workspace`: create, read and change workspaces.

use capstan_contract::command::{CreateWorkspace, SettingsChanges, UpdateWorkspace};
use capstan_contract::query::GetWorkspace;
use clap::{Args, Subcommand};

use crate::argument::json;
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
        #[arg(long, value_parser = json::<Box<SettingsChanges>>)]
        settings: Option<Box<SettingsChanges>>,
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
                let command = CreateWorkspace { workspace: name, display_name: None };
                self.output.object(&client.send(&command).await?["workspace"])
            }
            Action::Get => self.output.object(&client.send(&GetWorkspace {}).await?),
            Action::Update { display_name, settings, if_version } => {
                let command = UpdateWorkspace { display_name, settings: settings.map(|settings| *settings) };
                self.output.object(&client.send_if(if_version, &command).await?["workspace"])
            }
        }
    }
}
