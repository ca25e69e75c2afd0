//! `capstan dlq`: commands that could not be processed and commits that the read models could not fold.

use clap::{Args, Subcommand};

use crate::output::Format;
use crate::remote::Remote;

/// List, retry and discard dead letters.
#[derive(Args)]
pub(crate) struct DeadLettersCommand {
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
    Show { id: String },
    /// Publish a command again, or fold the commits of a stream again.
    Retry { id: String },
    /// Discard a command.
    Discard { id: String },
}

impl DeadLettersCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let client = self.remote.client()?;
        match self.action {
            Action::List { limit, cursor } => {
                let page = client.dead_letters(limit, cursor.as_deref()).await?;
                match self.output {
                    Format::Json => self.output.object(&page),
                    Format::Table => {
                        self.output.list(&page.items, &["id", "source", "code", "error", "dead_at"])
                    }
                }
            }
            Action::Show { id } => self.output.object(&client.dead_letter(&id).await?),
            Action::Retry { id } => self.output.object(&client.retry_dead_letter(&id).await?),
            Action::Discard { id } => self.output.object(&client.discard_dead_letter(&id).await?),
        }
    }
}
