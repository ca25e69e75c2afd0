//! What many tasks have in common: the name of their workspace, their agent, their class and their worker. Held once,
//! however many tasks there are.

use std::collections::HashMap;
use std::sync::Arc;

use capstan_domain::id::{AgentId, TaskId, WorkerId};
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

/// A task, with the number of its workspace: 20 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TaskName {
    workspace: u32,
    pub(super) task_id: TaskId,
}

/// The origins, workers and workspaces of tasks.
#[derive(Debug, Default)]
pub(super) struct Origins {
    kinds: Interned<Origin>,
    workers: Interned<WorkerId>,
    /// Workspaces by number; none is ever forgotten.
    workspaces: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32>,
}

impl Origins {
    /// The origin of a task.
    pub(super) fn of(&mut self, task: &Task) -> Arc<Origin> {
        let class = task.accepted.instance_key.as_str().into();
        self.kinds.shared(Arc::new(Origin { agent_id: task.accepted.agent_id, class }))
    }

    /// The id of a worker, shared by its attempts.
    pub(super) fn worker(&mut self, worker_id: WorkerId) -> Arc<WorkerId> {
        self.workers.shared(Arc::new(worker_id))
    }

    /// The name of a task; none when nothing of its workspace is known.
    pub(super) fn known(&self, key: &StreamKey) -> Option<TaskName> {
        Some(TaskName { workspace: *self.numbers.get(&key.workspace)?, task_id: key.task_id })
    }

    /// The name of a task.
    pub(super) fn name(&mut self, key: &StreamKey) -> TaskName {
        self.known(key).unwrap_or_else(|| {
            let workspace = self.workspaces.len() as u32;
            self.workspaces.push(Arc::clone(&key.workspace));
            self.numbers.insert(Arc::clone(&key.workspace), workspace);
            TaskName { workspace, task_id: key.task_id }
        })
    }

    /// The key of a task.
    pub(super) fn key(&self, name: TaskName) -> Option<StreamKey> {
        let workspace = Arc::clone(self.workspaces.get(name.workspace as usize)?);
        Some(StreamKey { workspace, task_id: name.task_id })
    }
}
