//! `capstan dev`: servers, Capstan and a worker in one command.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use capstan_client::ClientConfig;
use capstan_launcher::{Durability, LaunchConfig, Servers};
use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;

use crate::composition::{Node, NodeConfig};
use crate::memory::{DEFAULT_MB, MAX_MB, MIN_MB, MemoryBudget};
use crate::worker::Execution;
use crate::{output, shutdown, worker};

/// Run everything on this machine: servers, Capstan and a worker.
#[derive(Args)]
pub(crate) struct Dev {
    /// Data folder; the next start continues with it.
    #[arg(long, default_value = ".capstan")]
    data_dir: PathBuf,
    /// Listen address of the API; port 0 chooses a free one.
    #[arg(long, default_value = "127.0.0.1:7070", value_parser = loopback)]
    http: SocketAddr,
    /// Port of nats-server; 0 chooses a free one.
    #[arg(long, default_value_t = 0)]
    nats_port: u16,
    /// Port of Postgres; 0 chooses a free one.
    #[arg(long, default_value_t = 0)]
    pg_port: u16,
    /// Flushing before an acknowledgement.
    #[arg(long, value_enum, default_value_t)]
    durability: DurabilityArgument,
    /// Memory for caches, recent events and queues, in MB; the process takes about 60 MB more, and the engine 200 to 500 bytes
    /// for each open task.
    #[arg(
        long,
        env = "CAPSTAN_MEMORY_MB",
        default_value_t = DEFAULT_MB,
        value_parser = clap::value_parser!(u32).range(i64::from(MIN_MB)..=i64::from(MAX_MB))
    )]
    memory_mb: u32,
    /// Start without the built-in worker.
    #[arg(long)]
    no_worker: bool,
    /// Duration of a lease without renewal, in milliseconds.
    #[arg(long, default_value_t = 30_000, value_parser = clap::value_parser!(i64).range(500..=3_600_000))]
    lease_ms: i64,
    /// Tasks of one execution class (agent, lane, policy) that run at the same time.
    #[arg(long, default_value_t = 1)]
    class_concurrency: u32,
    #[command(flatten)]
    execution: Execution,
}

/// Reads a listen address that other machines cannot reach.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| "must be an IP address and a port".to_owned())?;
    let is_loopback = address.ip().is_loopback();
    is_loopback.then_some(address).ok_or_else(|| {
        "must be loopback, because capstan dev requires no token; use capstan serve".to_owned()
    })
}

/// Flushing before an acknowledgement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum DurabilityArgument {
    /// Flush before each acknowledgement: a power cut loses nothing.
    #[default]
    Always,
    /// Flush every 100 ms: a power cut may lose the last 100 ms, a killed process nothing.
    Interval,
}

impl From<DurabilityArgument> for Durability {
    fn from(argument: DurabilityArgument) -> Self {
        match argument {
            DurabilityArgument::Always => Self::Always,
            DurabilityArgument::Interval => Self::Interval,
        }
    }
}

impl Dev {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let stopping = shutdown::token()?;
        let runner = self.execution.runner(&self.data_dir.join("worker"))?;
        let launch = LaunchConfig {
            nats_port: self.nats_port,
            postgres_port: self.pg_port,
            durability: self.durability.into(),
            ..LaunchConfig::new(self.data_dir)
        };
        let servers = tokio::select! {
            started = Servers::start(launch) => started.context("start the servers")?,
            () = stopping.cancelled() => return Ok(()),
        };
        let mut config = NodeConfig::new(servers.nats_url(), servers.database_url());
        config.nats_monitor_url = Some(servers.nats_monitor_url());
        config.http = self.http;
        config.memory = MemoryBudget::of_mb(self.memory_mb);
        config.lease_ms = self.lease_ms;
        config.class_concurrency = self.class_concurrency;
        // The data folder is locked, so no other projector can run on it.
        config.projector_owner = Some("capstan dev".to_owned());
        let stop_node = CancellationToken::new();
        let node = Node::start(config, stop_node.clone()).await?;
        node.ensure_development_workspace().await?;
        let url = format!("http://{}", node.address());
        let mut node = tokio::spawn(node.stopped());

        let worker = if !self.no_worker && (runner.is_some() || self.execution.has_tools()) {
            let client = ClientConfig::new(&url);
            let worker = worker::build(client, &self.execution, runner, Duration::from_secs(2))?;
            let stopping = stopping.clone();
            Some(tokio::spawn(async move { worker.run(stopping).await }))
        } else {
            None
        };
        output::line(&format!("ready {url}"))?;

        // The worker reports through the node, and the node writes through the servers: they stop in that order.
        let failed = tokio::select! {
            () = stopping.cancelled() => None,
            ended = &mut node => Some(ended),
        };
        stopping.cancel();
        if let Some(worker) = worker {
            worker.await.context("join the worker")?.context("run the worker")?;
        }
        stop_node.cancel();
        let outcome = match failed {
            Some(ended) => ended,
            None => node.await,
        };
        servers.shutdown().await;
        outcome.context("join the node")?
    }
}
