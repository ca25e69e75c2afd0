//! `capstan dlq`: commands that could not be processed and commits that the read models could not fold.

use capstan_client::Client;
use clap::Subcommand;

use crate::argument::DeadLetterArgument;
use crate::output::Format;
use crate::remote_command::RemoteAction;

#[derive(Subcommand)]
pub(crate) enum Action {
    /// List dead letters: commands first, then commits, each oldest first.
    List {
        /// Page size, at most 500.
        #[arg(long)]
        limit: Option<u32>,
        /// The `next_cursor` of the previous page.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Show one dead letter with its content; secrets are redacted.
    Show(DeadLetterArgument),
    /// Publish a command again, or fold the commits of a stream again.
    Retry(DeadLetterArgument),
    /// Discard a command.
    Discard(DeadLetterArgument),
}

impl RemoteAction for Action {
    async fn run(self, client: &Client, output: Format) -> anyhow::Result<()> {
        match self {
            Self::List { limit, cursor } => output.page(
                &client.dead_letters(limit, cursor.as_deref()).await?,
                &["id", "source", "code", "error", "dead_at"],
            ),
            Self::Show(DeadLetterArgument { id }) => output.object(&client.dead_letter(&id).await?),
            Self::Retry(DeadLetterArgument { id }) => output.object(&client.retry_dead_letter(&id).await?),
            Self::Discard(DeadLetterArgument { id }) => {
                output.object(&client.discard_dead_letter(&id).await?)
            }
        }
    }
}
