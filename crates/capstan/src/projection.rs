//! `capstan projection`: list, rebuild, verify and digest the read models.

use std::sync::Arc;

use anyhow::Context;
use capstan_eventlog::{EventLog, JetStreamConfig, JetStreamLog};
use capstan_projections::{MODELS, ProjectorConfig, ReadModels, Which, rebuild, verify};
use clap::{Args, Subcommand};

use crate::output::{self, Format};

/// List, rebuild, verify and digest the read models.
#[derive(Args)]
pub(crate) struct ProjectionCommand {
    /// Where Postgres is; by default as the running `capstan dev` says.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, global = true)]
    database_url: Option<String>,
    /// Where the log is; by default as the running `capstan dev` says.
    #[arg(long, env = "NATS_URL", global = true)]
    nats_url: Option<String>,
    /// The data folder of the running `capstan dev`.
    #[arg(long, default_value = ".capstan", global = true)]
    data_dir: std::path::PathBuf,
    /// How answers are printed.
    #[arg(short, long, value_enum, default_value_t, global = true)]
    output: Format,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Show every model, its checkpoint and its state.
    List,
    /// Build fresh tables from the log's beginning beside the present ones, then switch.
    Rebuild {
        /// Which models.
        #[arg(required_unless_present = "all")]
        models: Vec<String>,
        /// All of them.
        #[arg(long, conflicts_with = "models")]
        all: bool,
    },
    /// Fold the log independently and compare with the tables.
    Verify,
    /// Print a digest of every model's rows.
    Digest,
}

impl ProjectionCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let read_models = ReadModels::connect(&self.address("database_url", self.database_url.as_ref())?)?;
        match &self.action {
            Action::List => {
                let position = read_models.position().await?;
                let models: Vec<_> = MODELS
                    .iter()
                    .map(|(name, version)| {
                        serde_json::json!({ "name": name, "version": version, "position": position })
                    })
                    .collect();
                self.output.list(&models, &["name", "version", "position"])
            }
            Action::Digest => {
                for (model, digest) in read_models.digests().await? {
                    output::line(&format!("{model:<18} {digest}"));
                }
                Ok(())
            }
            Action::Rebuild { models, all } => {
                let which = if *all { Which::All } else { Which::Some(models.clone()) };
                let report =
                    rebuild(&self.log().await?, &read_models, &which, &ProjectorConfig::default()).await?;
                self.output.object(&report)
            }
            Action::Verify => {
                let report = verify(&self.log().await?, &read_models).await?;
                self.output.object(&report)?;
                anyhow::ensure!(
                    report.differences.is_empty(),
                    "verify the read models: rows differ from the log; rebuild them"
                );
                Ok(())
            }
        }
    }

    async fn log(&self) -> anyhow::Result<Arc<dyn EventLog>> {
        let url = self.address("nats_url", self.nats_url.as_ref())?;
        Ok(Arc::new(JetStreamLog::connect(JetStreamConfig::new(url)).await.context("open the log")?))
    }

    /// The address given, else the one a running `capstan dev` wrote down.
    fn address(&self, name: &str, given: Option<&String>) -> anyhow::Result<String> {
        if let Some(given) = given {
            return Ok(given.clone());
        }
        let path = self.data_dir.join("run.json");
        let text = std::fs::read(&path).with_context(|| {
            format!("find {name}: neither given nor is capstan dev running on {}", self.data_dir.display())
        })?;
        let run: serde_json::Value = serde_json::from_slice(&text)?;
        run[name].as_str().map(str::to_owned).with_context(|| format!("find {name} in {}", path.display()))
    }
}
