//! Offers of workers and needs of runs.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::WorkerId;
use crate::task::Task;

/// The capabilities of a worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Runtimes it isolates runs with: `gvisor`, `runc`.
    pub runtimes: Vec<String>,
    /// True when it can run without network.
    pub network_isolation: bool,
    /// Access to the workspace's files it can grant: `none`, `ro`, `rw`.
    pub workspace_access: Vec<String>,
    /// Tools it executes. Decides nothing yet: deferred tool calls are not attempts.
    pub tools: Vec<String>,
}

/// The workspaces a worker may serve.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// Every one.
    #[default]
    All,
    /// These and no others.
    Only(BTreeSet<String>),
}

impl Reach {
    /// True when the workspace is among them.
    pub fn includes(&self, workspace: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(workspaces) => workspaces.contains(workspace),
        }
    }

    /// True when everything the other reaches is among them.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) => true,
            (Self::Only(_), Self::All) => false,
            (Self::Only(mine), Self::Only(others)) => others.is_subset(mine),
        }
    }
}

/// A worker that asks for work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerOffer {
    /// The worker.
    pub worker_id: WorkerId,
    /// The pools it belongs to; none means all.
    pub pools: Vec<String>,
    /// Its capabilities.
    pub capabilities: Capabilities,
    /// The workspaces it may serve.
    pub reach: Reach,
}

/// The requirements of a run on its worker: from the frozen policy, and the agent's `pool` setting.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Needs {
    /// The runtime.
    pub runtime_type: Arc<str>,
    /// The access to the workspace's files.
    pub workspace_access: Arc<str>,
    /// True when the run must have no network.
    pub network_isolation: bool,
    /// The pool the agent's configuration names; any when it names none.
    pub pool: Option<Arc<str>>,
}

impl Needs {
    /// The needs of a task's runs.
    pub fn of(task: &Task) -> Self {
        let policy = &task.accepted.policy;
        Self {
            runtime_type: policy.runtime_type.as_str().into(),
            workspace_access: policy.workspace_access.as_str().into(),
            network_isolation: !policy.network_enabled,
            pool: task.accepted.pool.as_deref().map(Arc::from),
        }
    }

    /// True when the worker may be given such a run. What a worker does not claim it cannot do.
    pub fn met_by(&self, offer: &WorkerOffer) -> bool {
        let claims = |list: &[String], wanted: &str| list.iter().any(|claimed| claimed == wanted);
        let can = &offer.capabilities;
        claims(&can.runtimes, &self.runtime_type)
            && (&*self.workspace_access == "none" || claims(&can.workspace_access, &self.workspace_access))
            && (!self.network_isolation || can.network_isolation)
            && self.pool.as_deref().is_none_or(|pool| offer.pools.is_empty() || claims(&offer.pools, pool))
    }
}
