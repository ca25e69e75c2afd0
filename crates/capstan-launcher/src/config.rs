//! The configuration of the servers.

use std::path::PathBuf;

/// Flushing of messages by nats-server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Before each acknowledgement: acknowledged messages survive a power cut.
    #[default]
    Always,
    /// Every 100 ms: a killed process loses nothing, a power cut the last 100 ms.
    Interval,
}

impl Durability {
    /// The value of the `sync_interval` setting of JetStream.
    pub(crate) fn sync_interval(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Interval => "100ms",
        }
    }
}

/// The allowed sources of the servers' programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BinarySource {
    /// Installed ones that are new enough; fetched ones where there are none.
    #[default]
    Anywhere,
    /// Only the fetched and pinned ones, whatever is installed.
    Provisioned,
}

/// The configuration for [`crate::Servers::start`].
#[derive(Clone, Debug)]
pub struct LaunchConfig {
    /// The folder that holds the data, the logs and `run.json`; made if missing.
    pub data_dir: PathBuf,
    /// The port of nats-server; 0 picks a free one.
    pub nats_port: u16,
    /// The port of Postgres; 0 picks a free one.
    pub postgres_port: u16,
    /// Flushing of messages by nats-server.
    pub durability: Durability,
    /// The nats-server program; `CAPSTAN_NATS_SERVER_BIN` stands in when absent, a search when both are.
    pub nats_server: Option<PathBuf>,
    /// The folder of `initdb` and `postgres`; `CAPSTAN_POSTGRES_BIN_DIR` stands in when absent, a search when both
    /// are.
    pub postgres_bin_dir: Option<PathBuf>,
    /// The allowed sources of programs that are not configured.
    pub binaries: BinarySource,
    /// The folder for fetched programs; the user's cache folder when absent.
    pub cache_dir: Option<PathBuf>,
    /// For tests: Postgres does not flush to the disk, and starts from a copy of an empty cluster.
    pub throwaway: bool,
}

impl LaunchConfig {
    /// Durable servers on free ports with their data in `data_dir`.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            nats_port: 0,
            postgres_port: 0,
            durability: Durability::default(),
            nats_server: None,
            postgres_bin_dir: None,
            binaries: BinarySource::default(),
            cache_dir: None,
            throwaway: false,
        }
    }
}
