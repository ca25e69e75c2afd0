//! A group of subcommands that call the server.

use capstan_client::Client;
use clap::{Args, Subcommand};

use crate::output::Format;
use crate::remote::Remote;

/// One of the subcommands of a group, with its arguments.
pub(crate) trait RemoteAction: Subcommand {
    /// Calls the server and prints the answer in this format.
    async fn run(self, client: &Client, output: Format) -> anyhow::Result<()>;
}

/// The arguments all subcommands of a group take, and the chosen one.
#[derive(Args)]
pub(crate) struct RemoteCommand<A: RemoteAction> {
    #[command(flatten)]
    remote: Remote,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t, global = true)]
    output: Format,
    #[command(subcommand)]
    action: A,
}

impl<A: RemoteAction> RemoteCommand<A> {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        self.action.run(&self.remote.client()?, self.output).await
    }
}
