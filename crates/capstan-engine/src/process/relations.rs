//! Parents and children: creates the children a run asked for, reports the ends of children to their parents, and
//! cancels children with their parents.
//!
//! Everything follows from the recorded state of the two tasks, so a new leader continues from it: a task stays in memory
//! until the ends of its children are recorded and its own parent has recorded its end (`Task::is_at_rest`). Each step
//! is a command that changes nothing the second time.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use capstan_domain::id::TaskId;
use capstan_domain::matching::StreamKey;
use capstan_domain::task::command::{CancelTask, ParentHeard};
use capstan_domain::task::event::ParentClose;
use capstan_domain::task::{Command, Task, TaskState, subtasks};
use chrono::{DateTime, Utc};

use super::effect::FollowUp;
use super::facts::TaskFacts;
use super::outcome::Settled;
use super::shared::Shared;

/// The relations between the tasks in memory.
#[derive(Debug, Default)]
pub(super) struct Relations {
    /// Children that are not over and are cancelled with their parent, by parent.
    open: HashMap<StreamKey, BTreeSet<StreamKey>>,
    /// Unrecorded facts about tasks with a parent or children.
    known: HashMap<StreamKey, Known>,
    /// The parents of children that could not be created and are looked for.
    sought: HashMap<StreamKey, TaskId>,
}

/// Facts about a task's relations that are not recorded.
#[derive(Debug, Default)]
struct Known {
    /// Children that exist, or that cannot be created.
    created: BTreeSet<TaskId>,
    /// True once the parent has recorded the end; what is left is to note that.
    is_reported: bool,
    /// True when the parent was cancelled, and this task must be.
    is_orphan: bool,
    /// True once the parent was looked for.
    is_placed: bool,
    /// Children that cannot be created: their end is to be recorded.
    missing: BTreeSet<TaskId>,
}

/// The next step about a task's relations.
enum Step {
    NoteReport,
    ReportEnd(TaskId),
    CancelWithParent,
    CreateChild(TaskId),
    ReportMissing(TaskId),
}

impl Relations {
    /// True when [`Relations::turn`] has something to do for the task.
    pub(super) fn is_due(&self, key: &StreamKey, facts: &TaskFacts) -> bool {
        self.next_step(key, facts).is_some()
    }

    fn next_step(&self, key: &StreamKey, facts: &TaskFacts) -> Option<Step> {
        let known = self.known.get(key);
        if facts.must_tell_parent {
            let is_reported = known.is_some_and(|known| known.is_reported);
            return if is_reported { Some(Step::NoteReport) } else { facts.parent().map(Step::ReportEnd) };
        }
        if known.is_some_and(|known| known.is_orphan) && !facts.state.is_terminal() {
            return Some(Step::CancelWithParent);
        }
        let is_created = |child: &TaskId| known.is_some_and(|known| known.created.contains(child));
        let is_missing = |child: &TaskId| known.is_some_and(|known| known.missing.contains(child));
        facts.open_children().find_map(|child| {
            if is_missing(&child) {
                return Some(Step::ReportMissing(child));
            }
            (!is_created(&child)).then_some(Step::CreateChild(child))
        })
    }

    /// Orders the next step about the task's relations; false when there is none. A step that needs the task itself
    /// loads it when `whole` is absent, and is taken when it has come.
    pub(super) fn turn(
        &mut self,
        key: &StreamKey,
        whole: Option<&Task>,
        shared: &mut Shared,
        now: DateTime<Utc>,
    ) -> bool {
        let Some(facts) = shared.tasks.facts(key) else { return false };
        let step = self.next_step(key, facts);
        match (step, whole) {
            (None, _) => false,
            (Some(Step::ReportEnd(_) | Step::CreateChild(_) | Step::ReportMissing(_)), None) => {
                shared.load_for_step(key);
                true
            }
            (Some(Step::NoteReport), _) => shared.order(key, Command::ParentHeard(ParentHeard), None, now),
            (Some(Step::ReportEnd(parent)), Some(task)) => {
                let report = Command::ChildEnded(Box::new(subtasks::report(task)));
                shared.follow_up(key, parent, (FollowUp::ReportEnd, report), now)
            }
            (Some(Step::CancelWithParent), _) => {
                let reason = facts.parent().map(|parent| format!("its parent {parent} was cancelled"));
                let grace_ms = shared.config.grace_ms;
                let command = CancelTask { task_id: key.task_id, reason };
                shared.order(key, Command::Cancel { command, grace_ms }, None, now)
            }
            (Some(Step::CreateChild(child)), Some(task)) => {
                let Some(subtask) = task.open_subtasks().find(|subtask| subtask.task_id == child) else {
                    return false;
                };
                let accept = Command::Accept(Box::new(subtasks::acceptance(task, subtask)));
                shared.follow_up(key, child, (FollowUp::CreateChild(child), accept), now)
            }
            (Some(Step::ReportMissing(child)), Some(task)) => {
                let missing = Command::ChildEnded(Box::new(subtasks::missing(task, child)));
                shared.order(key, missing, None, now)
            }
        }
    }

    /// Takes the outcome of a command to `target`, sent for its relative `owner`.
    pub(super) fn settled(
        &mut self,
        (owner, follow_up): (&StreamKey, &FollowUp),
        target: &StreamKey,
        outcome: &Settled,
        shared: &mut Shared,
        now: DateTime<Utc>,
    ) {
        let Some(tracked) = shared.tasks.get_mut(owner) else { return };
        tracked.work_mut().end();
        shared.tasks.touch(owner);
        let Some(tracked) = shared.tasks.get_mut(owner) else { return };
        match (outcome, follow_up) {
            (Settled::Failed { is_retryable }, _) => tracked.work_mut().failed(now, *is_retryable),
            (Settled::Refused, FollowUp::CreateChild(child)) => {
                // It exists already, or cannot be created: its stream holds the answer.
                tracked.work_mut().succeeded();
                self.known.entry(owner.clone()).or_default().created.insert(*child);
                if !shared.tasks.contains(target) {
                    self.sought.insert(target.clone(), owner.task_id);
                    shared.load(target, 1);
                }
            }
            (Settled::Decided { .. }, FollowUp::CreateChild(child)) => {
                tracked.work_mut().succeeded();
                self.known.entry(owner.clone()).or_default().created.insert(*child);
            }
            (Settled::Decided { .. } | Settled::Refused, FollowUp::ReportEnd) => {
                // A parent that refuses the report does not exist.
                tracked.resumed();
                self.known.entry(owner.clone()).or_default().is_reported = true;
            }
        }
    }

    /// Follows a new state of the task: files it under its parent, and passes a cancellation on to its children.
    pub(super) fn observe(&mut self, key: &StreamKey, shared: &mut Shared) {
        let Some(facts) = shared.tasks.facts(key) else { return };
        self.sought.remove(key);
        let is_over = facts.state.is_terminal();
        let is_cancelled = facts.state == TaskState::Cancelled;
        let closes = facts.rare().parent_close == ParentClose::Cancel;
        if let Some(parent) = facts.parent() {
            let parent = StreamKey { workspace: Arc::clone(&key.workspace), task_id: parent };
            let known = self.known.entry(key.clone()).or_default();
            // A parent that has recorded this end changes nothing; a newer end must be reported too.
            known.is_reported = false;
            known.is_orphan &= !is_over;
            let is_new = !std::mem::replace(&mut known.is_placed, true);
            self.created(&parent, key.task_id, shared);
            if is_over || !closes {
                self.remove(&parent, key);
            } else {
                self.open.entry(parent.clone()).or_default().insert(key.clone());
                match shared.tasks.facts(&parent).map(|parent| parent.state) {
                    Some(TaskState::Cancelled) => self.orphan(&parent, std::slice::from_ref(key), shared),
                    // The log alone has the answer when the parent was cancelled before this child was seen.
                    None if is_new => shared.load(&parent, 1),
                    Some(_) | None => {}
                }
            }
        }
        if is_cancelled {
            let children: Vec<_> = self.open.get(key).into_iter().flatten().cloned().collect();
            self.orphan(key, &children, shared);
        }
    }

    fn remove(&mut self, parent: &StreamKey, child: &StreamKey) {
        if let Some(siblings) = self.open.get_mut(parent) {
            siblings.remove(child);
            if siblings.is_empty() {
                self.open.remove(parent);
            }
        }
    }

    fn created(&mut self, parent: &StreamKey, child: TaskId, shared: &Shared) {
        if shared.tasks.contains(parent) {
            self.known.entry(parent.clone()).or_default().created.insert(child);
        }
    }

    /// Cancels children with their parent, except those whose end the parent has recorded: one that was opened again
    /// after that continues without it.
    fn orphan(&mut self, parent: &StreamKey, children: &[StreamKey], shared: &mut Shared) {
        for child in children {
            let parent = shared.tasks.facts(parent);
            if parent.is_some_and(|parent| parent.has_ended(child.task_id)) || !shared.tasks.contains(child) {
                continue;
            }
            self.known.entry(child.clone()).or_default().is_orphan = true;
            shared.tasks.touch(child);
        }
    }

    /// Takes the load of a child whose stream is empty: it was not possible to create it, and its parent must not wait.
    pub(super) fn missing(&mut self, child: &StreamKey, shared: &mut Shared) {
        let Some(task_id) = self.sought.remove(child) else { return };
        let parent = StreamKey { workspace: Arc::clone(&child.workspace), task_id };
        let is_awaited = |facts: &TaskFacts| facts.open_children().any(|open| open == child.task_id);
        if !shared.tasks.facts(&parent).is_some_and(is_awaited) {
            return;
        }
        self.known.entry(parent.clone()).or_default().missing.insert(child.task_id);
        shared.tasks.touch(&parent);
    }

    /// Forgets a task that is over.
    pub(super) fn forget(&mut self, key: &StreamKey) {
        self.known.remove(key);
        self.sought.remove(key);
    }
}
