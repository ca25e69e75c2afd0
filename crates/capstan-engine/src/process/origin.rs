//! What many tasks have in common: the name of their workspace, their agent and their class. Held once, however many
//! tasks there are.

use std::sync::Arc;

use capstan_domain::id::AgentId;
use capstan_domain::interned::Interned;
use capstan_domain::matching::StreamKey;
use capstan_domain::task::Task;

/// Frozen facts that many tasks share.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    /// The agent that works on the task.
    pub(super) agent_id: AgentId,
    /// The key of its execution class.
    pub(super) class: Arc<str>,
}

/// The origins and names of workspaces in use.
#[derive(Debug, Default)]
pub(super) struct Origins {
    origins: Interned<Origin>,
    workspaces: Interned<str>,
}

impl Origins {
    /// The origin of a task.
    pub(super) fn of(&mut self, task: &Task) -> Arc<Origin> {
        let class = task.accepted.instance_key.as_str().into();
        self.origins.shared(Arc::new(Origin { agent_id: task.accepted.agent_id, class }))
    }

    /// The same key, with the name of its workspace shared.
    pub(super) fn key(&mut self, key: &StreamKey) -> StreamKey {
        let workspace = self.workspaces.shared(Arc::clone(&key.workspace));
        StreamKey { workspace, task_id: key.task_id }
    }
}
