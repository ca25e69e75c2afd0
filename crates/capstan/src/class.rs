//! `capstan class`: limit, read and heal execution classes.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::output::Format;
use crate::remote::Remote;

/// Limit and heal execution classes.
#[derive(Args)]
pub(crate) struct ClassCommand {
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
    /// List the classes that were configured or failed.
    List,
    /// Show one class.
    Get { instance_key: String },
    /// Set the limits of a class; what is not given stays.
    Set {
        /// The class, as `instance_key` of a task names it.
        instance_key: String,
        /// Attempts that may run at once; 0 = the server's default.
        #[arg(long)]
        concurrency: Option<u32>,
        /// Failures in a row after which nothing is given out for a while; 0 = the default.
        #[arg(long)]
        threshold: Option<u32>,
        /// Whether anything is given out.
        #[arg(long)]
        active: Option<bool>,
        /// Forget all failures.
        #[arg(long)]
        reset: bool,
    },
}

impl ClassCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let client = self.remote.client()?;
        match self.action {
            Action::List => {
                let page = client.classes().await?;
                let columns = ["instance_key", "status", "active", "desired_dispatch_concurrency", "until"];
                match self.output {
                    Format::Json => self.output.object(&page),
                    Format::Table => self.output.list(&page.items, &columns),
                }
            }
            Action::Get { instance_key } => self.output.object(&client.class(&instance_key).await?),
            Action::Set { instance_key, concurrency, threshold, active, reset } => {
                let limits = json!({
                    "desired_dispatch_concurrency": concurrency,
                    "failed_attempt_threshold": threshold,
                    "active": active,
                    "reset": reset,
                });
                self.output.object(&client.configure_class(&instance_key, &limits).await?)
            }
        }
    }
}
