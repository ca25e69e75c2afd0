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

#[cfg(test)]
mod tests {
    use capstan_decider::{Decider as _, fold};
    use capstan_domain::agent;
    use capstan_domain::id::TaskId;
    use capstan_domain::task::command::{Accept, AcceptAgentCommand};
    use capstan_domain::task::{Command, TaskDecider};
    use uuid::Uuid;

    use super::*;

    fn add(tasks: &mut Tasks, workspace: &str, number: u32) {
        let at = chrono::DateTime::UNIX_EPOCH;
        let task_id = TaskId(Uuid::from_u128(u128::from(number)));
        let agent = agent::Created::named(workspace, "demo", "Demo", at);
        let accept =
            Accept::new(task_id, agent, AcceptAgentCommand { message: "x".into(), ..Default::default() });
        let events = TaskDecider::decide(&None, &Command::Accept(Box::new(accept)).at(at)).unwrap();
        let state = fold::<TaskDecider>(None, &events);
        assert!(tasks.replace(&StreamKey::new(workspace, task_id), 1, &state, true));
    }

    #[test]
    fn all_tasks_of_a_workspace_are_found_and_few_are_looked_at_in_one_turn() {
        let (mut tasks, mut reviews) = (Tasks::default(), Reviews::default());
        for number in 0..3 * TASKS_MAX {
            add(&mut tasks, ["a", "b"][number as usize % 2], number);
        }
        assert_eq!(reviews.next(&tasks), []);
        reviews.seek(&"b".into(), None);
        let first = reviews.next(&tasks).len();
        // Sought again half-way, everything is found again.
        reviews.seek(&"b".into(), None);
        reviews.seek(&"none".into(), None);
        let mut found = Vec::new();
        let mut turns = 0;
        while reviews.are_under_way() {
            found.extend(reviews.next(&tasks));
            turns += 1;
        }
        assert_eq!((first, turns), (TASKS_MAX as usize / 2, 3));
        assert!(found.iter().all(|key| *key.workspace == *"b"));
        found.sort();
        found.dedup();
        assert_eq!(found.len(), 3 * TASKS_MAX as usize / 2);
    }
}
