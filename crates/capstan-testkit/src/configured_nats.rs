//! A nats-server with a configuration of its own: the users and permissions of `docs/operations/nats-permissions.conf`, or none.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use capstan_launcher::{LaunchConfig, Servers};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::eventually::eventually;

/// The template of an operator.
const TEMPLATE: &str = include_str!("../../../docs/operations/nats-permissions.conf");
/// The variables of the template.
const PASSWORDS: [(&str, &str); 7] = [
    ("CAPSTAN_NATS_PASSWORD", "word-a"),
    ("DEV_PRODUCER_NATS_PASSWORD", "word-b"),
    ("DEV_READER_NATS_PASSWORD", "word-c"),
    ("DEV_ADMIN_NATS_PASSWORD", "word-d"),
    ("DEV_WORKER_NATS_PASSWORD", "word-e"),
    ("OPERATOR_NATS_PASSWORD", "word-f"),
    ("ARCHIVER_NATS_PASSWORD", "word-g"),
];

/// A nats-server with JetStream on a free loopback port; killed when dropped.
pub struct ConfiguredNats {
    _child: Child,
    folder: TempDir,
    address: String,
}

impl ConfiguredNats {
    /// Starts one with the template, a port and a store.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(TEMPLATE).await
    }

    /// Starts one with a port and a store, and everything else as nats-server has it: a message is at most 1 MiB.
    pub async fn stock() -> anyhow::Result<Self> {
        Self::start_with("").await
    }

    async fn start_with(configuration: &str) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("capstan-nats-").tempdir()?;
        let path = folder.path().to_string_lossy();
        let file = folder.path().join("nats.conf");
        let own = format!("listen: \"127.0.0.1:-1\"\njetstream: {{ store_dir: \"{path}/store\" }}\n");
        std::fs::write(&file, own + configuration)?;
        let program = Servers::find_nats_server(&LaunchConfig::new(folder.path())).await?;
        let child = Command::new(program)
            .arg("--config")
            .arg(&file)
            .arg("--ports_file_dir")
            .arg(folder.path())
            .envs(PASSWORDS)
            .stdout(Stdio::null())
            .stderr(Stdio::from(std::fs::File::create(folder.path().join("log"))?))
            .kill_on_drop(true)
            .spawn()
            .context("failed to start nats-server")?;
        let pid = child.id().context("nats-server ended at once")?;
        let ports = folder.path().join(format!("nats-server_{pid}.ports"));
        let address = eventually("nats-server says where it listens", Duration::from_secs(20), async || {
            let said: serde_json::Value = serde_json::from_slice(&std::fs::read(&ports).ok()?).ok()?;
            Some(said["nats"][0].as_str()?.trim_start_matches("nats://").to_owned())
        })
        .await;
        Ok(Self { _child: child, folder, address })
    }

    /// The URL for a user.
    pub fn url(&self, user: &str, password: &str) -> String {
        format!("nats://{user}:{password}@{}", self.address)
    }

    /// The listen address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The content of its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}
