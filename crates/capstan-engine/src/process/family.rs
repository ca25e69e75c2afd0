//! Parents and children: makes the children a run asked for, tells parents how children ended, and cancels children
//! with their parents.
//!
//! Everything follows from the recorded state of the two tasks, so a successor takes it up where it finds it: a task
//! stays in memory until its children are heard of and its own parent knows (`Task::is_at_rest`). Each step is a command
//! that changes nothing the second time.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use capstan_domain::id::TaskId;
use capstan_domain::matching::StreamKey;
use capstan_domain::task::command::{Cancel, ChildEnded, ParentHeard};
use capstan_domain::task::event::ParentClose;
use capstan_domain::task::{Command, Task, TaskState, subtasks};
use chrono::{DateTime, Utc};

use super::{Effect, Order, Process, Settled};

/// Who belongs to whom, among the tasks in memory.
#[derive(Debug, Default)]
pub(super) struct Families {
    /// Children that are not over, by parent.
    open: HashMap<Arc<StreamKey>, BTreeSet<Arc<StreamKey>>>,
}

/// What one task knows of its family beyond what is recorded.
#[derive(Debug, Default)]
pub(super) struct Kin {
    /// Children that were made, or cannot be.
    made: BTreeSet<TaskId>,
    /// The parent has taken the news; what is left is to note that.
    parent_knows: bool,
    /// The parent was cancelled, and this task with it.
    is_orphan: bool,
    /// Its parent was looked at.
    is_placed: bool,
}

/// What an order to a relative was about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    /// Make this child.
    Make(TaskId),
    /// Tell the parent.
    Tell,
}

impl Kin {
    /// True when something is to be done for the family now.
    pub(super) fn is_due(&self, task: &Task) -> bool {
        task.must_tell_parent()
            || (self.is_orphan && !task.state.is_terminal())
            || task.open_subtasks().any(|subtask| !self.made.contains(&subtask.task_id))
    }
}

impl Process {
    /// Does what is next for the task's family; answers whether there was anything.
    pub(super) fn serve_family(&mut self, key: &Arc<StreamKey>, now: DateTime<Utc>) -> bool {
        let grace_ms = self.config.grace_ms;
        let Some(tracked) = self.tasks.get_mut(key) else { return false };
        let Some(task) = tracked.task.as_deref() else { return false };
        let (target, command, errand) = if task.must_tell_parent() {
            if tracked.kin.parent_knows {
                return self.order(key, Command::ParentHeard(ParentHeard { at: now }), None, now);
            }
            let Some(parent) = task.accepted.parent_task_id else { return false };
            let report = Command::ChildEnded(Box::new(subtasks::report(task, now)));
            (parent, report, Errand::Tell)
        } else if tracked.kin.is_orphan && !task.state.is_terminal() {
            let reason =
                task.accepted.parent_task_id.map(|parent| format!("its parent {parent} was cancelled"));
            return self.order(key, Command::Cancel(Cancel { reason, grace_ms, at: now }), None, now);
        } else {
            let unmade = task.open_subtasks().find(|subtask| !tracked.kin.made.contains(&subtask.task_id));
            let Some(subtask) = unmade else { return false };
            let accept = Command::Accept(Box::new(subtasks::acceptance(task, subtask, now)));
            (subtask.task_id, accept, Errand::Make(subtask.task_id))
        };
        let target = Arc::new(StreamKey::new(&key.workspace, target));
        let order = Order::errand(&target, key, (task, errand), command, now);
        tracked.under_way += 1;
        self.effects.push(Effect::Execute(order));
        true
    }

    /// Takes the outcome of an order to a relative of `key`.
    pub(super) fn errand_settled(
        &mut self,
        key: &Arc<StreamKey>,
        errand: &Errand,
        order: &Order,
        outcome: Settled,
        now: DateTime<Utc>,
    ) {
        let Some(tracked) = self.tasks.get_mut(key) else { return };
        tracked.under_way = tracked.under_way.saturating_sub(1);
        let mut decided = None;
        match (outcome, errand) {
            (Settled::Failed { is_retryable }, _) => tracked.fail(now, is_retryable),
            (Settled::Refused, Errand::Make(_)) => {
                // It exists already, or nobody can make it: a look at it tells.
                tracked.failures = 0;
                tracked.kin.made.insert(order.key.task_id);
                if !self.tasks.contains_key(&order.key) {
                    self.load(&Arc::clone(&order.key), 1);
                }
            }
            (Settled::Decided { version, state, events }, Errand::Make(child)) => {
                tracked.failures = 0;
                tracked.kin.made.insert(*child);
                decided = Some((version, state, events));
            }
            (Settled::Decided { .. } | Settled::Refused, Errand::Tell) => {
                // A parent that refuses the news does not exist: there is nobody to tell.
                tracked.failures = 0;
                tracked.not_before = None;
                tracked.kin.parent_knows = true;
            }
        }
        if let Some((version, state, events)) = decided {
            self.take(&order.key, version, state, &events, now);
        }
        self.tidy(key);
    }

    fn made(&mut self, parent: &Arc<StreamKey>, child: TaskId) {
        if let Some(tracked) = self.tasks.get_mut(parent) {
            tracked.kin.made.insert(child);
        }
    }

    /// Follows a new state of the task: notes whose child it is, and hands a cancellation down.
    pub(super) fn follow_family(&mut self, key: &Arc<StreamKey>) {
        let Some(tracked) = self.tasks.get_mut(key) else { return };
        let Some(task) = tracked.task.as_deref() else { return };
        let is_over = task.state.is_terminal();
        // Told again what it knows, a parent changes nothing; a newer end must not pass for told.
        tracked.kin.parent_knows = false;
        if is_over {
            tracked.kin.is_orphan = false;
        }
        let is_cancelled = task.state == TaskState::Cancelled;
        let parent = task.accepted.parent_task_id.map(|id| Arc::new(StreamKey::new(&key.workspace, id)));
        let closes = task.accepted.parent_close == ParentClose::Cancel;
        let is_new = !std::mem::replace(&mut tracked.kin.is_placed, true);
        if let Some(parent) = parent {
            self.made(&parent, key.task_id);
            if is_over || !closes {
                if let Some(siblings) = self.families.open.get_mut(&parent) {
                    siblings.remove(key);
                    if siblings.is_empty() {
                        self.families.open.remove(&parent);
                    }
                }
            } else {
                self.families.open.entry(Arc::clone(&parent)).or_default().insert(Arc::clone(key));
                match self.tasks.get(&parent).and_then(|parent| parent.task.as_deref()) {
                    Some(task) if task.state == TaskState::Cancelled => {
                        self.orphan(&parent, &[Arc::clone(key)]);
                    }
                    // Whether it was cancelled before this child was seen, only the log knows.
                    None if is_new => self.load(&parent, 1),
                    Some(_) | None => {}
                }
            }
        }
        if is_cancelled {
            let children: Vec<_> = self.families.open.get(key).into_iter().flatten().cloned().collect();
            self.orphan(key, &children);
        }
    }

    /// Cancels children with their parent, but for those the parent has heard the end of: what was opened again after
    /// that goes on by itself.
    fn orphan(&mut self, parent: &Arc<StreamKey>, children: &[Arc<StreamKey>]) {
        let heard_of = |child: &StreamKey| {
            let parent = self.tasks.get(parent).and_then(|parent| parent.task.as_deref());
            let child = parent.and_then(|parent| parent.children.get(&child.task_id));
            child.is_some_and(|child| child.ended.is_some())
        };
        let orphans: Vec<_> = children.iter().filter(|child| !heard_of(child)).cloned().collect();
        for child in orphans {
            if let Some(tracked) = self.tasks.get_mut(&child) {
                tracked.kin.is_orphan = true;
            }
            self.tidy(&child);
        }
    }

    /// A child was looked for and is not there: it could not be made, and its parent must not wait for it.
    pub(super) fn is_missing(&mut self, child: &Arc<StreamKey>, now: DateTime<Utc>) {
        let wants = |tracked: &super::tracked::Tracked| {
            let task = tracked.task.as_deref()?;
            let subtask = task.open_subtasks().find(|subtask| subtask.task_id == child.task_id)?;
            (tracked.key.workspace == child.workspace)
                .then(|| (Arc::clone(&tracked.key), subtask.label.clone()))
        };
        let Some((parent, label)) = self.tasks.values().find_map(wants) else { return };
        let ended = ChildEnded {
            task_id: child.task_id,
            label,
            state: TaskState::Dropped,
            result: None,
            error: Some("the subtask could not be made".to_owned()),
            cost_usd: 0.0,
            at: now,
        };
        self.made(&parent, child.task_id);
        self.order(&parent, Command::ChildEnded(Box::new(ended)), None, now);
    }
}
