//! A task in the index: what stands still, and where it stands.

use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};

use super::super::{Config, Needs};
use crate::id::TaskId;
use crate::millis::Millis;
use crate::slab::Keyed;
use crate::task::event::Priority;

/// A place in the order of a workspace: aged time, time of queueing, task.
pub(super) type Rank = (DateTime<Utc>, DateTime<Utc>, TaskId);

/// A task, with the number of its workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct TaskKey {
    pub(super) tenant: u32,
    pub(super) task_id: TaskId,
}

/// The session of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionOf {
    /// One that bears its own id, and that no other task of the index belongs to: it needs no record.
    Own,
    /// The number of its session.
    Shared(u32),
}

/// A task that waits in the queue or has a live attempt.
#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) key: TaskKey,
    pub(super) session: SessionOf,
    /// The number of its class.
    pub(super) class: u32,
    pub(super) needs: Arc<Needs>,
    pub(super) standing: Standing,
}

/// What a commit may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// The run that waits, if one does.
    pub(super) queued: Option<Queued>,
    /// True while an attempt lives.
    pub(super) live: bool,
    /// The last epoch given out, in four bytes: a task with more attempts would be larger than any log.
    pub(super) epoch: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Queued {
    /// The number of the run, from which its id follows.
    pub(super) run_no: u32,
    /// The instant it was queued.
    pub(super) since: Millis,
    pub(super) priority: Priority,
    pub(super) available_at: Option<Millis>,
    pub(super) reserved: bool,
    /// True once it is due.
    pub(super) due: bool,
    /// True while the task it runs after is open: it does not stand in its session then.
    pub(super) held: bool,
}

impl Keyed for Tracked {
    type Key = TaskKey;

    fn key(&self) -> &TaskKey {
        &self.key
    }
}

impl Tracked {
    pub(super) fn holds(&self) -> bool {
        self.standing.live || self.queued().is_some_and(|queued| queued.reserved)
    }

    pub(super) fn queued(&self) -> Option<&Queued> {
        self.standing.queued.as_ref()
    }

    /// Its place in the order of its workspace, while it waits.
    pub(super) fn rank(&self, config: Config) -> Option<Rank> {
        let Queued { since, priority, .. } = self.queued()?;
        let since = since.time();
        Some((aged(config, since, *priority), since, self.key.task_id))
    }
}

/// The instant by which tasks are ordered: one step later for every priority below urgent.
fn aged(config: Config, since: DateTime<Utc>, priority: Priority) -> DateTime<Utc> {
    let steps = match priority {
        Priority::Urgent => 0,
        Priority::High => 1,
        Priority::Normal => 2,
        Priority::Low => 3,
    };
    Duration::try_milliseconds(config.age_step_ms.saturating_mul(steps))
        .and_then(|span| since.checked_add_signed(span))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_in_the_index_is_small() {
        assert!(size_of::<Option<Tracked>>() <= 72, "{} bytes", size_of::<Option<Tracked>>());
    }
}
