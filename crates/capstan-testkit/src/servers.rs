//! A real nats-server and a real Postgres for one test process.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context;
use capstan_launcher::{Durability, LaunchConfig, Servers};
use tempfile::TempDir;
use tokio_postgres::NoTls;

/// Temporary servers and data; both are removed when this is dropped.
///
/// Starting takes a fraction of a second, so that each test starts its own. Tests that share servers use separate databases
/// ([`TestServers::fresh_database`]) and stream names.
pub struct TestServers {
    // Dropped in this order: the servers have ended when their data goes.
    servers: Servers,
    _folder: TempDir,
    databases: AtomicU32,
}

impl TestServers {
    /// Starts both servers; nats-server writes to the disk every 100 ms.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(Durability::Interval).await
    }

    /// Starts both servers with the durability a test is about.
    pub async fn start_with(durability: Durability) -> anyhow::Result<Self> {
        let folder = open_folder().context("failed to make a folder for the servers")?;
        let config = LaunchConfig { durability, throwaway: true, ..LaunchConfig::new(folder.path()) };
        let servers = Servers::start(config).await.context("failed to start the servers")?;
        Ok(Self { servers, _folder: folder, databases: AtomicU32::new(0) })
    }

    /// The servers themselves: addresses, and ways to kill them.
    pub fn servers(&self) -> &Servers {
        &self.servers
    }

    /// The URL for NATS clients.
    pub fn nats_url(&self) -> String {
        self.servers.nats_url()
    }

    /// A new connection to nats-server.
    pub async fn nats(&self) -> anyhow::Result<async_nats::Client> {
        async_nats::connect(self.nats_url()).await.context("failed to connect to nats-server")
    }

    /// Creates an empty database and gives its address.
    pub async fn fresh_database(&self) -> anyhow::Result<String> {
        let main = self.servers.database_url();
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let (client, connection) =
            tokio_postgres::connect(&main, NoTls).await.context("failed to connect to Postgres")?;
        let connection = tokio::spawn(connection);
        let created = client.batch_execute(&format!("CREATE DATABASE {name}")).await;
        drop(client);
        let _ = connection.await;
        created.context("failed to create a database")?;
        let (server, _) = main.rsplit_once('/').context("the address has no database")?;
        Ok(format!("{server}/{name}"))
    }
}

/// A folder that other users may enter: as root, Postgres runs as one of them.
fn open_folder() -> io::Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("capstan-test-").tempdir()?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    Ok(folder)
}
