//! The tasks that a change of a shared budget concerns: found in one walk over all tasks, a part of it in each turn.
//!
//! However many tasks there are, no turn takes long, and however many budgets change, one walk serves them all. A task that
//! comes while it is under way is judged when it comes.

use std::collections::HashMap;
use std::sync::Arc;

use capstan_domain::id::AgentId;
use capstan_domain::matching::StreamKey;

use super::tasks::Tasks;

/// Tasks that are looked at in one turn.
const TASKS_MAX: u32 = 1024;

/// A workspace, or one of its agents.
type Concerned = (Arc<str>, Option<AgentId>);

/// The walk.
#[derive(Debug, Default)]
pub(super) struct Reviews {
    /// The number of the task that is looked at next.
    at: u32,
    /// What is looked for, and the tasks that were looked at since.
    sought: HashMap<Concerned, u32>,
}

impl Reviews {
    /// Looks for the tasks of a workspace, or of one of its agents.
    pub(super) fn seek(&mut self, workspace: &Arc<str>, agent_id: Option<AgentId>) {
        self.sought.insert((Arc::clone(workspace), agent_id), 0);
    }

    /// True while the walk is under way.
    pub(super) fn are_under_way(&self) -> bool {
        !self.sought.is_empty()
    }

    /// The tasks that the next part of the walk finds.
    pub(super) fn next(&mut self, tasks: &Tasks) -> Vec<StreamKey> {
        let mut found = Vec::new();
        if self.sought.is_empty() {
            return found;
        }
        let part = TASKS_MAX.min(tasks.end());
        for _ in 0..part {
            if self.at >= tasks.end() {
                self.at = 0;
            }
            let task = tasks.at(self.at);
            self.at += 1;
            let Some((key, facts)) = task else { continue };
            let mut concerned = (Arc::clone(&key.workspace), None);
            let is_sought = self.sought.contains_key(&concerned) || {
                concerned.1 = Some(facts.origin.agent_id);
                self.sought.contains_key(&concerned)
            };
            if is_sought {
                found.push(key);
            }
        }
        self.sought.retain(|_, passed| {
            *passed += part;
            *passed < tasks.end()
        });
        found
    }
}
