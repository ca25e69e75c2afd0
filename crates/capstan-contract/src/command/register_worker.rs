use std::collections::BTreeMap;

use capstan_domain::policy::{RuntimeTypeWord, WorkspaceAccessWord};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lease::SLOTS_MAX;

/// Registers a worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RegisterWorker {
    /// Its name, for people.
    pub name: String,
    /// The pools it serves; empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<String>,
    /// Largest number of attempts it runs at once.
    #[schemars(range(min = 1, max = SLOTS_MAX))]
    pub slots: u32,
    /// Names and values to choose it by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Capabilities of the worker.
    #[serde(default)]
    pub capabilities: WorkerCapabilities,
}

/// Capabilities of a worker. An empty list means all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerCapabilities {
    /// The isolations it has: `gvisor`, `runc`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<RuntimeTypeWord>")]
    pub runtimes: Vec<String>,
    /// True when the worker can isolate a run from the network.
    #[serde(default)]
    pub network_isolation: bool,
    /// The kinds of access to the workspace's files it can give: `none`, `ro`, `rw`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<WorkspaceAccessWord>")]
    pub workspace_access: Vec<String>,
    /// The tools it can call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
}
