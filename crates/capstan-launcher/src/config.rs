//! What the caller may decide about the servers.

use std::path::PathBuf;

/// When nats-server writes an acknowledged message to the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Before it acknowledges: what was acknowledged survives the loss of power.
    #[default]
    Always,
    /// Every 100 ms: the death of a process loses nothing, the loss of power the last moment.
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

/// Where the servers' programs may come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BinarySource {
    /// Installed ones that are new enough; fetched ones where there are none.
    #[default]
    Anywhere,
    /// Only the fetched and pinned ones, whatever is installed.
    Provisioned,
}

/// Everything [`crate::Servers::start`] needs to know.
#[derive(Clone, Debug)]
pub struct LaunchConfig {
    /// The folder that holds the data, the logs and `run.json`; made if missing.
    pub data_dir: PathBuf,
    /// The port of nats-server; 0 picks a free one.
    pub nats_port: u16,
    /// The port of Postgres; 0 picks a free one.
    pub postgres_port: u16,
    /// When nats-server writes to the disk.
    pub durability: Durability,
    /// The nats-server program; `CAPSTAN_NATS_SERVER_BIN` stands in when absent, a search when both are.
    pub nats_server: Option<PathBuf>,
    /// The folder of `initdb` and `postgres`; `CAPSTAN_POSTGRES_BIN_DIR` stands in when absent, a search when both
    /// are.
    pub postgres_bin_dir: Option<PathBuf>,
    /// Where the programs may come from when none is named.
    pub binaries: BinarySource,
    /// Where fetched programs are kept; the user's cache folder when absent.
    pub cache_dir: Option<PathBuf>,
    /// The data is worth nothing (tests): no flushing to the disk in Postgres, start from a copied empty cluster.
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
