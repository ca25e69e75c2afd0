//! What a worker is told when it starts.

use std::collections::BTreeMap;
use std::time::Duration;

use capstan_client::{Capabilities, ClientConfig};

use crate::ToolConfig;

/// What a worker is told when it starts.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// The server.
    pub client: ClientConfig,
    /// A name for people.
    pub name: String,
    /// The pools it serves.
    pub pools: Vec<String>,
    /// How many attempts run at once.
    pub slots: usize,
    /// Names and values about it.
    pub labels: BTreeMap<String, String>,
    /// What it offers to runs. A plain process is not isolated at all: the default claims every runtime, because it
    /// is the operator who trusts the agents that are run here.
    pub capabilities: Capabilities,
    /// The tools it carries out; they are declared besides those of the capabilities.
    pub tools: ToolConfig,
    /// How long one question for work stands; the server's limit is 30 s.
    pub lease_wait: Duration,
    /// How long running attempts may go on once the worker is told to stop.
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
            capabilities: Capabilities {
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
