//! `capstan class`: limits, reads and resets execution classes.

use capstan_contract::command::ConfigureClass;
use capstan_contract::query::{GetClass, ListClasses};
use clap::{Args, Subcommand};

use crate::output::Format;
use crate::remote::Remote;

/// Limit and reset execution classes.
#[derive(Args)]
pub(crate) struct ClassCommand {
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
    /// List the classes with settings or failures.
    List,
    /// Show one class.
    Get { instance_key: String },
    /// Set the limits of a class; omitted limits keep their value.
    Set {
        /// Key of the class, the `instance_key` of its tasks.
        instance_key: String,
        /// Attempts that run at the same time; 0 for the server's default.
        #[arg(long)]
        concurrency: Option<u32>,
        /// Consecutive failures after which leasing pauses; 0 for the server's default.
        #[arg(long)]
        threshold: Option<u32>,
        /// `false` stops leasing.
        #[arg(long)]
        active: Option<bool>,
        /// Reset the count of failures.
        #[arg(long)]
        reset: bool,
    },
}

impl ClassCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let client = self.remote.client()?;
        match self.action {
            Action::List => {
                let page = client.send(&ListClasses::default()).await?;
                let columns = ["instance_key", "status", "active", "desired_dispatch_concurrency", "until"];
                match self.output {
                    Format::Json => self.output.object(&page),
                    Format::Table => self.output.list(&page.items, &columns),
                }
            }
            Action::Get { instance_key } => {
                self.output.object(&client.send(&GetClass { instance_key }).await?)
            }
            Action::Set { instance_key, concurrency, threshold, active, reset } => {
                let limits = ConfigureClass {
                    instance_key,
                    desired_dispatch_concurrency: concurrency,
                    failed_attempt_threshold: threshold,
                    active,
                    reset,
                };
                self.output.object(&client.send(&limits).await?)
            }
        }
    }
}
