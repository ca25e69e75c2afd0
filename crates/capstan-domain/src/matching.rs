//! Matching of queued tasks and workers: a pure, in-memory index of everything that could run.
//!
//! The engine feeds every commit of a task with [`Matching::observe`], asks with [`Matching::pick`] when a
//! worker wants work, and hands the picks to the deciders as `Lease` commands. Nothing here is recorded: a new
//! leader rebuilds it from the open tasks.
//!
//! Rules, in the order they bind:
//! 1. A run goes only to a worker that meets its [`Needs`] and may serve its workspace.
//! 2. A run is not picked before its `available_at`.
//! 3. At most one attempt of a (workspace, session) lives, one that is being cancelled included. Tasks of one
//!    session go in order: only the first of those that are due is eligible.
//!    A task that names another one it runs after is not eligible while that one is open.
//! 4. At most as many attempts of an execution class live as its limit allows, and none of one that is held. A task that
//!    is held (its budget is spent) is not picked, and others of its session go before it.
//! 5. Workspaces share fairly: the one with the fewest live attempts goes first, ties go to the one served
//!    least recently. Priorities therefore order the tasks of one workspace, never two workspaces.
//! 6. Inside a workspace: priority, then the order of queueing. A task rises by one priority for every
//!    [`Config::age_step_ms`] it waits, so the lowest starves at most three steps behind a steady stream of
//!    urgent ones. Because all tasks age alike, this is one fixed order: queueing time plus one step for every
//!    priority below urgent.
//!
//! A picked task is reserved: it counts as live until an observed state shows what became of the lease, or
//! [`Matching::unreserve`] reports that it failed. An observed state that still shows the picked run unleased
//! (an input that arrived in between) leaves the reservation alone; otherwise a second task of the session
//! could be picked before the first lease is recorded.
//!
//! Every operation costs O(log n) in the number of tasks, times the number of distinct [`Needs`], which policy
//! bounds to a dozen per pool.

mod index;
mod offer;
mod waiting_reason;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};

pub use index::Depth;
pub use offer::{Capabilities, Needs, Reach, WorkerOffer};
pub use waiting_reason::WaitingReason;

use crate::id::{RunId, TaskId, WorkerId};
use crate::task::Task;

/// Id of the task.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey {
    /// Its workspace.
    pub workspace: Arc<str>,
    /// The task.
    pub task_id: TaskId,
}

impl StreamKey {
    /// Names a task.
    pub fn new(workspace: &str, task_id: TaskId) -> Self {
        Self { workspace: workspace.into(), task_id }
    }
}

/// A queued run chosen for a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pick {
    /// Its workspace.
    pub workspace: Arc<str>,
    /// Its task.
    pub task_id: TaskId,
    /// The run.
    pub run_id: RunId,
}

impl Pick {
    /// The task it belongs to.
    pub fn key(&self) -> StreamKey {
        StreamKey { workspace: self.workspace.clone(), task_id: self.task_id }
    }
}

/// Settings of matching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Default concurrency limit of a class.
    pub class_limit: u32,
    /// After so much waiting a task counts as one priority higher, in milliseconds.
    pub age_step_ms: i64,
}

/// Runs of one class go one after another unless configured otherwise.
pub const DEFAULT_CLASS_LIMIT: u32 = 1;

/// Five minutes: an urgent task overtakes a backlog of normal ones up to ten minutes deep, and a low one
/// waits at most fifteen minutes longer than an urgent one.
pub const DEFAULT_AGE_STEP_MS: i64 = 300_000;

impl Default for Config {
    fn default() -> Self {
        Self { class_limit: DEFAULT_CLASS_LIMIT, age_step_ms: DEFAULT_AGE_STEP_MS }
    }
}

/// The queue of runnable tasks, and who runs.
#[derive(Debug, Default)]
pub struct Matching {
    index: index::Index,
    workers: HashMap<WorkerId, WorkerOffer>,
}

impl Matching {
    /// An empty queue.
    pub fn new(config: Config) -> Self {
        Self { index: index::Index::new(config), workers: HashMap::new() }
    }

    /// Observes a task's state after a commit; `None` when the stream holds no task. States of one task
    /// must come in the order of its stream; skipping some is fine. `is_open` answers for the task it runs after, if it
    /// names one: true while that is not over.
    pub fn observe(
        &mut self,
        key: &StreamKey,
        task: Option<&Task>,
        is_open: impl FnOnce(&StreamKey) -> bool,
    ) {
        self.index.observe(key, task, is_open);
    }

    /// Chooses up to `max` runs for a worker and reserves them. Fewer than `max` means that nothing else may
    /// go to this worker now.
    pub fn pick(&mut self, offer: &WorkerOffer, max: usize, now: DateTime<Utc>) -> Vec<Pick> {
        self.index.release_due(now);
        std::iter::from_fn(|| self.index.pick_one(offer)).take(max).collect()
    }

    /// Returns a picked task to the queue: its lease could not be recorded. Does nothing when the task is
    /// not reserved.
    pub fn unreserve(&mut self, key: &StreamKey) {
        self.index.unreserve(key);
    }

    /// Sets the concurrency limit of a class: `None` = the default, 0 = none for now.
    pub fn set_class_limit(&mut self, workspace: &str, instance_key: &str, limit: Option<u32>) {
        self.index.set_class_limit(workspace, instance_key, limit);
    }

    /// Holds all tasks of a class for this reason, or lifts the hold.
    pub fn hold_class(&mut self, workspace: &str, instance_key: &str, reason: Option<WaitingReason>) {
        self.index.hold_class(workspace, instance_key, reason);
    }

    /// Holds a task for this reason, or lifts the hold. Holds of tasks that are gone must be lifted too.
    pub fn hold(&mut self, key: &StreamKey, reason: Option<WaitingReason>) {
        self.index.hold_task(key, reason);
    }

    /// Adds or replaces a worker, so that [`why`](Self::why) can judge whether any worker could run a task.
    pub fn enrol(&mut self, offer: WorkerOffer) {
        self.workers.insert(offer.worker_id, offer);
    }

    /// Forgets a worker.
    pub fn dismiss(&mut self, worker_id: WorkerId) {
        self.workers.remove(&worker_id);
    }

    /// The next instant after `now` at which a delayed task becomes available.
    pub fn next_due(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.index.next_due(now)
    }

    /// The reasons a task is not running; none when it is not queued.
    pub fn why(&mut self, key: &StreamKey, now: DateTime<Utc>) -> Vec<WaitingReason> {
        self.index.release_due(now);
        let Some(needs) = self.index.needs_of_queued(key) else {
            return Vec::new();
        };
        let mut reasons = self.index.reasons(key);
        let mut here = self.workers.values().filter(|offer| offer.reach.includes(&key.workspace)).peekable();
        let is_alone = here.peek().is_none();
        let capable = here.any(|offer| needs.met_by(offer));
        if is_alone {
            reasons.push(WaitingReason::NoWorker);
        } else if !capable && reasons != [WaitingReason::BeingLeased] {
            reasons.push(WaitingReason::NoCapableWorker);
        }
        if reasons.is_empty() {
            reasons.push(WaitingReason::WaitingForSlot);
        }
        reasons
    }

    /// Counts for metrics.
    pub fn depth(&self) -> Depth {
        self.index.depth()
    }

    /// The distinct needs of all runs that may be picked right now: a worker that meets none need not be asked.
    pub fn ready_needs(&self) -> BTreeSet<Needs> {
        self.index.ready_needs()
    }
}
