//! A reference that shares no code with the product but the types.

use std::collections::BTreeMap;

use capstan_domain::id::TaskId;
use capstan_domain::matching::{DEFAULT_AGE_STEP_MS, WorkerOffer};
use capstan_domain::task::event::Priority;
use capstan_domain::task::{Task, TaskState};
use chrono::{DateTime, Duration, Utc};

/// The rules of matching, applied by looking at every task every time.
#[derive(Default)]
pub(crate) struct Naive {
    pub(crate) tasks: BTreeMap<TaskId, Task>,
    pub(crate) reserved: BTreeMap<TaskId, u64>,
    pub(crate) limits: BTreeMap<String, u32>,
    last_turn: BTreeMap<String, u64>,
    turn: u64,
}

impl Naive {
    pub(crate) fn observe(&mut self, id: TaskId, task: Option<&Task>) {
        match task {
            Some(task) => self.tasks.insert(id, task.clone()),
            None => self.tasks.remove(&id),
        };
        if task
            .is_none_or(|task| task.state != TaskState::Queued || self.reserved.get(&id) != Some(&task.epoch))
        {
            self.reserved.remove(&id);
        }
    }

    pub(crate) fn holds(&self, task: &Task) -> bool {
        task.live.is_some() || self.reserved.contains_key(&task.id())
    }

    pub(crate) fn holding(&self, of: impl Fn(&Task) -> bool) -> u32 {
        self.tasks.values().filter(|task| self.holds(task) && of(task)).count() as u32
    }

    fn rank(task: &Task) -> (DateTime<Utc>, DateTime<Utc>, TaskId) {
        let steps = Priority::Urgent as i64 - task.priority as i64;
        let since = task.queued_at.expect("a queued task has a time");
        (since + Duration::milliseconds(DEFAULT_AGE_STEP_MS) * steps as i32, since, task.id())
    }

    fn waits(&self, task: &Task, now: DateTime<Utc>) -> bool {
        task.state == TaskState::Queued
            && !self.reserved.contains_key(&task.id())
            && task.available_at.is_none_or(|due| due <= now)
    }

    pub(crate) fn same_session(a: &Task, b: &Task) -> bool {
        a.accepted.workspace == b.accepted.workspace && a.accepted.session_id == b.accepted.session_id
    }

    pub(crate) fn class_running(&self, of: &Task) -> u32 {
        self.holding(|task| {
            task.accepted.workspace == of.accepted.workspace
                && task.accepted.instance_key == of.accepted.instance_key
        })
    }

    pub(crate) fn eligible(&self, task: &Task, offer: &WorkerOffer, now: DateTime<Utc>) -> bool {
        let policy = &task.accepted.policy;
        let can = &offer.capabilities;
        let first = self
            .tasks
            .values()
            .filter(|other| Self::same_session(task, other) && self.waits(other, now))
            .map(Self::rank)
            .min();
        self.waits(task, now)
            && self.holding(|other| Self::same_session(task, other)) == 0
            && first == Some(Self::rank(task))
            && self.class_running(task) < self.limit(task)
            && can.runtimes.contains(&policy.runtime_type)
            && can.workspace_access.contains(&policy.workspace_access)
            && (policy.network_enabled || can.network_isolation)
    }

    pub(crate) fn limit(&self, task: &Task) -> u32 {
        let name = format!("{}/{}", task.accepted.workspace, task.accepted.instance_key);
        self.limits.get(&name).copied().unwrap_or(1)
    }

    pub(crate) fn pick(&mut self, offer: &WorkerOffer, max: usize, now: DateTime<Utc>) -> Vec<TaskId> {
        let mut picks = Vec::new();
        while picks.len() < max {
            let turn_of = |task: &Task| {
                let workspace = &task.accepted.workspace;
                let running = self.holding(|other| other.accepted.workspace == *workspace);
                (running, self.last_turn.get(workspace).copied().unwrap_or(0), workspace.clone())
            };
            let eligible = self.tasks.values().filter(|task| self.eligible(task, offer, now));
            let Some(next) = eligible.min_by_key(|task| (turn_of(task), Self::rank(task))).cloned() else {
                break;
            };
            self.turn += 1;
            self.last_turn.insert(next.accepted.workspace.clone(), self.turn);
            self.reserved.insert(next.id(), next.epoch);
            picks.push(next.id());
        }
        picks
    }
}
