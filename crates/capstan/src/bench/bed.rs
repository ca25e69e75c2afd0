//! Servers and a node on temporary data, for one benchmark.

use std::time::Duration;

use anyhow::{Context, ensure};
use capstan_client::{Client, ClientConfig};
use capstan_contract::query::{ListTasks, Page};
use capstan_envelope::Position;
use capstan_eventlog::EventLog;
use capstan_launcher::{Durability, LaunchConfig, Servers};
use tokio_util::sync::CancellationToken;

use crate::composition::{Node, NodeConfig};

/// Servers on fresh data in a folder that is removed.
pub(super) async fn servers(durability: Durability) -> anyhow::Result<(tempfile::TempDir, Servers)> {
    let folder = tempfile::Builder::new().prefix("capstan-bench-").tempdir()?;
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let launch = LaunchConfig { durability, ..LaunchConfig::new(folder.path().join("data")) };
    let servers = Servers::start(launch).await.context("start the servers")?;
    Ok((folder, servers))
}

/// A node and its servers for one benchmark.
pub(super) struct Bed {
    node: Node,
    servers: Servers,
    _folder: tempfile::TempDir,
    stop: CancellationToken,
}

impl Bed {
    /// Starts everything on fresh data, with this many tasks of a class at once. Postgres flushes as in production; nats-server as `durability` says.
    pub(super) async fn start(durability: Durability, class_concurrency: u32) -> anyhow::Result<Self> {
        let (folder, servers) = servers(durability).await?;
        let stop = CancellationToken::new();
        let mut config = NodeConfig::new(servers.nats_url(), servers.database_url());
        config.nats_monitor_url = Some(servers.nats_monitor_url());
        config.class_concurrency = class_concurrency;
        let node = Node::start(config, stop.clone()).await?;
        node.ensure_development_workspace().await?;
        Ok(Self { node, servers, _folder: folder, stop })
    }

    /// The URL of nats-server.
    pub(super) fn nats_url(&self) -> String {
        self.servers.nats_url()
    }

    /// The URL of Postgres.
    pub(super) fn database_url(&self) -> String {
        self.servers.database_url()
    }

    /// The process id of nats-server.
    pub(super) fn nats_pid(&self) -> anyhow::Result<i32> {
        Ok(self.servers.nats_pid().context("nats-server is down")?.try_into()?)
    }

    /// The process id of Postgres' first process.
    pub(super) fn postgres_pid(&self) -> anyhow::Result<i32> {
        Ok(self.servers.postgres_pid().context("Postgres is down")?.try_into()?)
    }

    /// The URL of the node.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.host())
    }

    /// Host and port of the node.
    pub(super) fn host(&self) -> String {
        self.node.address().to_string()
    }

    /// The log's last position.
    pub(super) async fn head(&self) -> anyhow::Result<Position> {
        Ok(self.node.log().head().await?)
    }

    /// Waits until the read models have caught up, so that one measurement does not pay for the one before.
    pub(super) async fn settled(&self) -> anyhow::Result<()> {
        let page = Page {
            min_position: Some(self.node.log().head().await?),
            limit: Some(1),
            wait_ms: Some(30_000),
            ..Page::default()
        };
        let client = Client::new(&ClientConfig::new(self.url()))?;
        for _ in 0..10 {
            if client.send_with(&ListTasks::default(), &page).await.is_ok() {
                return Ok(());
            }
        }
        ensure!(false, "the read models did not catch up in time");
        Ok(())
    }

    /// Stops everything in order.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(30), self.node.stopped())
            .await
            .context("stop the node")??;
        self.servers.shutdown().await;
        Ok(())
    }
}
