//! `capstan dlq`: commands that could not be processed and commits that the read models could not fold.

use capstan_client::Client;
use capstan_contract::admin::{
    DeadLetterId, DiscardDeadLetter, GetDeadLetter, ListDeadLetters, RetryDeadLetter,
};
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
        cursor: Option<DeadLetterId>,
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
                &client.send(&ListDeadLetters { limit, cursor }).await?,
                &["id", "source", "code", "error", "dead_at"],
            ),
            Self::Show(DeadLetterArgument { id: dead_letter_id }) => {
                output.object(&client.send(&GetDeadLetter { dead_letter_id }).await?)
            }
            Self::Retry(DeadLetterArgument { id: dead_letter_id }) => {
                output.object(&client.send(&RetryDeadLetter { dead_letter_id }).await?)
            }
            Self::Discard(DeadLetterArgument { id: dead_letter_id }) => {
                output.object(&client.send(&DiscardDeadLetter { dead_letter_id }).await?)
            }
        }
    }
}
