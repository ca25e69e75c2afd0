//! The servers of a tool: given ones, or those of a running `capstan dev`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use capstan_eventlog::{JetStreamConfig, JetStreamLog};
use clap::Args;

use crate::output::WrongUsage;

/// The servers of a tool: given ones, or those of a running `capstan dev`.
#[derive(Args, Clone, Debug)]
pub(crate) struct LocalServers {
    /// URL of Postgres; by default that of the running `capstan dev`.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, global = true)]
    database_url: Option<String>,
    /// URL of NATS; by default that of the running `capstan dev`.
    #[arg(long, env = "NATS_URL", hide_env_values = true, global = true)]
    nats_url: Option<String>,
    /// URL of nats-server's monitoring, which says how often it flushes; by default that of the running `capstan dev`.
    #[arg(long, env = "CAPSTAN_NATS_MONITOR_URL", global = true)]
    nats_monitor_url: Option<String>,
    /// Copies of each stream, as set for the processes of the installation.
    #[arg(long, env = "CAPSTAN_REPLICAS", default_value_t = 1, global = true)]
    replicas: usize,
    /// Data folder of the running `capstan dev`.
    #[arg(long, default_value = ".capstan", global = true)]
    data_dir: PathBuf,
}

impl LocalServers {
    /// URL of Postgres.
    pub(crate) fn database_url(&self) -> anyhow::Result<String> {
        self.address("database_url", self.database_url.as_ref())
    }

    /// Opens the event log.
    pub(crate) async fn log(&self) -> anyhow::Result<Arc<JetStreamLog>> {
        let url = self.address("nats_url", self.nats_url.as_ref())?;
        let monitor_url = self.nats_monitor_url.clone();
        // That of another server would tell of another server.
        let of_dev = || of_dev(&self.data_dir, "nats_monitor_url").ok().filter(|_| self.nats_url.is_none());
        let monitor_url = monitor_url.or_else(of_dev);
        let config = JetStreamConfig { replicas: self.replicas, monitor_url, ..JetStreamConfig::new(url) };
        Ok(Arc::new(JetStreamLog::connect(config).await.context("open the log")?))
    }

    fn address(&self, name: &str, given: Option<&String>) -> anyhow::Result<String> {
        if let Some(given) = given {
            return Ok(given.clone());
        }
        of_dev(&self.data_dir, name)
    }
}

/// A URL of the `capstan dev` that runs on a data folder.
pub(crate) fn of_dev(data_dir: &Path, name: &str) -> anyhow::Result<String> {
    let path = data_dir.join("run.json");
    let text = std::fs::read(&path).with_context(|| {
        WrongUsage(format!(
            "find {name}: it is not set, and capstan dev does not run on {}",
            data_dir.display()
        ))
    })?;
    let run: serde_json::Value =
        serde_json::from_slice(&text).with_context(|| format!("read {}", path.display()))?;
    run[name].as_str().map(str::to_owned).with_context(|| format!("find {name} in {}", path.display()))
}
