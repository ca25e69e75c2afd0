//! `capstan class`: limits, reads and resets execution classes.

use capstan_client::Client;
use capstan_contract::command::ConfigureClass;
use capstan_contract::query::{GetClass, ListClasses};
use clap::Subcommand;

use crate::output::Format;
use crate::remote_command::RemoteAction;

#[derive(Subcommand)]
pub(crate) enum Action {
    /// List the classes with settings or failures.
    List,
    /// Show one class.
    Get {
        /// Key of the class, the `instance_key` of its tasks.
        instance_key: String,
    },
    /// Set the limits of a class; omitted limits keep their value.
    Set {
        /// Key of the class, the `instance_key` of its tasks.
        instance_key: String,
        /// Attempts that run at the same time; 0 for the server's default.
        #[arg(long)]
        concurrency: Option<u32>,
        /// Consecutive failures after which leasing pauses, at least 1.
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

impl RemoteAction for Action {
    async fn run(self, client: &Client, output: Format) -> anyhow::Result<()> {
        match self {
            Self::List => {
                let page = client.send(&ListClasses::default()).await?;
                let columns = ["instance_key", "status", "active", "desired_dispatch_concurrency", "until"];
                output.page(&page, &columns)
            }
            Self::Get { instance_key } => output.object(&client.send(&GetClass { instance_key }).await?),
            Self::Set { instance_key, concurrency, threshold, active, reset } => {
                let limits = ConfigureClass {
                    instance_key,
                    desired_dispatch_concurrency: concurrency,
                    failed_attempt_threshold: threshold,
                    active,
                    reset,
                };
                output.object(&client.send(&limits).await?)
            }
        }
    }
}
