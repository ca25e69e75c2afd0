//! `capstan dlq`: commands nobody could process and commits the read models could not fold.

use clap::{Args, Subcommand};

use crate::output::Format;
use crate::remote::Remote;

/// Look at what was set aside, try it again or give it up.
#[derive(Args)]
pub(crate) struct DeadLettersCommand {
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
    /// List them: commands first, then commits, each oldest first.
    List {
        /// At most so many; the server caps it at 500.
        #[arg(long)]
        limit: Option<u32>,
        /// Go on after an earlier list's `next_cursor`.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Show one with what it says; secrets are hidden.
    Show { id: String },
    /// Send a command again, or fold the commits of a stream again.
    Retry { id: String },
    /// Give a command up.
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
