//! `capstan workspace`: create, read and change workspaces.

use capstan_client::Client;
use capstan_contract::command::{Conditions, CreateWorkspace, SettingsChanges, UpdateWorkspace};
use capstan_contract::query::GetWorkspace;
use clap::Subcommand;

use crate::argument::json;
use crate::output::Format;
use crate::remote_command::RemoteAction;

#[derive(Subcommand)]
pub(crate) enum Action {
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

impl RemoteAction for Action {
    async fn run(self, client: &Client, output: Format) -> anyhow::Result<()> {
        match self {
            Self::Create { name } => {
                let command = CreateWorkspace { workspace: name, display_name: None };
                output.object(&client.send(&command).await?["workspace"])
            }
            Self::Get => output.object(&client.send(&GetWorkspace {}).await?),
            Self::Update { display_name, settings, if_version } => {
                let command = UpdateWorkspace { display_name, settings: settings.map(|settings| *settings) };
                let conditions = Conditions { expected_version: if_version, ..Conditions::default() };
                output.object(&client.send_with(&command, &conditions).await?["workspace"])
            }
        }
    }
}
