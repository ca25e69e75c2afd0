//! What many tasks have in common: the name of their workspace, their agent and their class. Held once, however many
//! tasks there are.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use capstan_domain::id::AgentId;
use capstan_domain::matching::StreamKey;
use capstan_domain::task::Task;

/// Values held before those nobody uses are looked for.
const SWEEP_FROM: usize = 1024;

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

#[derive(Debug)]
struct Interned<T: ?Sized> {
    known: HashSet<Arc<T>>,
    /// The number of values at which unused ones are dropped.
    sweep_at: usize,
}

impl<T: ?Sized> Default for Interned<T> {
    fn default() -> Self {
        Self { known: HashSet::new(), sweep_at: SWEEP_FROM }
    }
}

impl<T: ?Sized + Eq + Hash> Interned<T> {
    fn get(&mut self, value: Arc<T>) -> Arc<T> {
        if let Some(known) = self.known.get(&value) {
            return Arc::clone(known);
        }
        if self.known.len() >= self.sweep_at {
            self.known.retain(|value| Arc::strong_count(value) > 1);
            self.sweep_at = SWEEP_FROM.max(2 * self.known.len());
        }
        self.known.insert(Arc::clone(&value));
        value
    }
}

impl Origins {
    /// The origin of a task.
    pub(super) fn of(&mut self, task: &Task) -> Arc<Origin> {
        let class = task.accepted.instance_key.as_str().into();
        self.origins.get(Arc::new(Origin { agent_id: task.accepted.agent_id, class }))
    }

    /// The same key, with the name of its workspace shared.
    pub(super) fn key(&mut self, key: &StreamKey) -> StreamKey {
        let workspace = self.workspaces.get(Arc::clone(&key.workspace));
        StreamKey { workspace, task_id: key.task_id }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_uses_is_dropped() {
        let mut interned = Interned::<str>::default();
        let kept = interned.get("kept".into());
        for number in 0..10_000 {
            interned.get(number.to_string().into());
        }
        assert!(interned.known.len() <= SWEEP_FROM, "{} values", interned.known.len());
        assert!(Arc::ptr_eq(&kept, &interned.get("kept".into())));
    }
}
