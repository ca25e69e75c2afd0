//! `capstan projection`: list, rebuild, verify and digest the read models.

mod progress;

use std::path::PathBuf;
use std::sync::Arc;

use capstan_eventlog::EventLog;
use capstan_projections::{MODELS, ProjectorConfig, ReadModels, ReplayConfig, Which, rebuild, verify};
use clap::{Args, Subcommand};

use crate::local_servers::LocalServers;
use crate::output::Format;

/// List, rebuild, verify and digest the read models.
#[derive(Args)]
pub(crate) struct ProjectionCommand {
    #[command(flatten)]
    servers: LocalServers,
    #[command(flatten)]
    replay: ReplayArguments,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t, global = true)]
    output: Format,
    #[command(subcommand)]
    action: Action,
}

/// Memory, processors and disk of a rebuild or a verification.
#[derive(Args, Clone, Debug)]
struct ReplayArguments {
    /// Memory for commits and rows, in MB; the process takes about 48 MB more.
    #[arg(
        long,
        env = "CAPSTAN_REBUILD__MEMORY_MB",
        default_value_t = 256,
        value_parser = clap::value_parser!(u32).range(32..),
        global = true
    )]
    memory_mb: u32,
    /// Threads that fold; 0 for one on each processor.
    #[arg(long, env = "CAPSTAN_REBUILD__WORKERS", default_value_t = 0, global = true)]
    workers: usize,
    /// Folder for commits that do not fit the memory; it needs as much space as the log has. By default that of temporary
    /// files.
    #[arg(long, env = "CAPSTAN_REBUILD__DIRECTORY", global = true)]
    directory: Option<PathBuf>,
}

impl ReplayArguments {
    fn config(&self) -> ReplayConfig {
        let default = ReplayConfig::default();
        ReplayConfig {
            memory_bytes: self.memory_mb as usize * 1_000_000,
            workers: self.workers,
            directory: self.directory.clone().unwrap_or(default.directory),
            on_progress: Some(progress::shown()),
        }
    }
}

#[derive(Subcommand)]
enum Action {
    /// List every read model with its version and position.
    List,
    /// Build new tables from the start of the log beside the active ones, then switch.
    Rebuild {
        /// Names of the read models.
        #[arg(required_unless_present = "all")]
        models: Vec<String>,
        /// Rebuild all read models.
        #[arg(long, conflicts_with = "models")]
        all: bool,
    },
    /// Fold the log again and compare the result with the tables.
    Verify,
    /// Print a digest of the rows of every read model.
    Digest,
}

impl ProjectionCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let read_models = ReadModels::connect(&self.servers.database_url()?)?;
        match &self.action {
            Action::List => {
                let position = read_models.position().await?;
                let models: Vec<_> = MODELS
                    .iter()
                    .map(|model| {
                        serde_json::json!({ "name": model.name, "version": model.version, "position": position })
                    })
                    .collect();
                self.output.list(&models, &["name", "version", "position"])
            }
            Action::Digest => {
                let digests = read_models.digests().await?;
                let digests: Vec<_> = digests
                    .iter()
                    .map(|(model, digest)| serde_json::json!({ "name": model, "digest": digest }))
                    .collect();
                self.output.list(&digests, &["name", "digest"])
            }
            Action::Rebuild { models, all } => {
                count_memory_in_small_pages();
                let which = if *all { Which::All } else { Which::Some(models.clone()) };
                let config = ProjectorConfig { replay: self.replay.config(), ..ProjectorConfig::default() };
                let rebuilt = rebuild(&log(&self.servers).await?, &read_models, &which, &config).await;
                progress::cleared();
                self.output.object(&rebuilt?)
            }
            Action::Verify => {
                count_memory_in_small_pages();
                let verified = verify(&log(&self.servers).await?, &read_models, &self.replay.config()).await;
                progress::cleared();
                let report = verified?;
                self.output.object(&report)?;
                anyhow::ensure!(
                    report.differences.is_empty(),
                    "verify the read models: rows differ from the log; rebuild them"
                );
                Ok(())
            }
        }
    }
}

/// Huge pages would round up what the bound of the memory counts, by tens of MB. They cost more to clear than they save here.
fn count_memory_in_small_pages() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "the memory comes in huge pages");
    }
}

async fn log(servers: &LocalServers) -> anyhow::Result<Arc<dyn EventLog>> {
    Ok(servers.log().await?)
}
