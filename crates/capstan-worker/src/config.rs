//! The configuration of a worker.

use std::collections::BTreeMap;
use std::time::Duration;

use capstan_client::{ClientConfig, WorkerCapabilities};

use crate::ToolConfig;

/// The configuration of a worker.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// The server.
    pub client: ClientConfig,
    /// The display name.
    pub name: String,
    /// The pools it serves.
    pub pools: Vec<String>,
    /// Number of attempts that run at the same time.
    pub slots: usize,
    /// Names and values about it.
    pub labels: BTreeMap<String, String>,
    /// The offered capabilities. A plain process is not isolated: the default claims every runtime, because the operator
    /// trusts the agents that run here.
    pub capabilities: WorkerCapabilities,
    /// The tools it executes; they are declared besides those of the capabilities.
    pub tools: ToolConfig,
    /// Wait of one long poll for work; at most 30 s.
    pub lease_wait: Duration,
    /// Time that running attempts get when the worker stops.
    pub drain: Duration,
}

impl WorkerConfig {
    /// Four slots in the pool `default`.
    pub fn new(client: ClientConfig) -> Self {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            client,
            name: format!("worker-{}", std::process::id()),
            pools: names(&["default"]),
            slots: 4,
            labels: BTreeMap::new(),
            capabilities: WorkerCapabilities {
                runtimes: names(&["gvisor", "runc"]),
                network_isolation: false,
                workspace_access: names(&["none", "ro", "rw"]),
                tools: Vec::new(),
            },
            tools: ToolConfig::default(),
            lease_wait: Duration::from_secs(20),
            drain: Duration::from_secs(30),
        }
    }
}
