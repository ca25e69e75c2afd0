//! The server and workspace of a client command.

use capstan_client::{Client, ClientConfig};
use clap::Args;

/// The server and workspace of a tool.
#[derive(Args, Clone, Debug)]
pub(crate) struct Remote {
    /// URL of the server.
    #[arg(long, env = "CAPSTAN_URL", default_value = "http://127.0.0.1:7070", global = true)]
    url: String,
    /// Bearer token, if the server requires one.
    #[arg(long, env = "CAPSTAN_TOKEN", hide_env_values = true, global = true)]
    token: Option<String>,
    /// The workspace.
    #[arg(long, env = "CAPSTAN_WORKSPACE", default_value = "dev", global = true)]
    workspace: String,
}

impl Remote {
    /// The configuration of the client library.
    pub(crate) fn config(&self) -> ClientConfig {
        ClientConfig { url: self.url.clone(), token: self.token.clone(), workspace: self.workspace.clone() }
    }

    /// A client of that server.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::new(&self.config())?)
    }
}
