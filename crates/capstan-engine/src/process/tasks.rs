//! The tasks in memory: how far each is folded, which orders are under way, and when its timer fires.
//!
//! Here alone the fold of a task is held. Everything else reads its [`TaskFacts`], or asks for a command that needs the
//! whole task (`shared.rs`).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use capstan_decider::fold;
use capstan_domain::matching::StreamKey;
use capstan_domain::task::{Command, Event, State, Task, TaskDecider};
use chrono::{DateTime, Utc};

use super::effect::{CallId, Order, Revision};
use super::facts::TaskFacts;
use super::outcome::{Loaded, Settled};
use super::retry::{after_failure, parked};

/// The tasks in memory and their timers.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    known: HashMap<Arc<StreamKey>, Tracked>,
    /// At most one entry per task counts: the one at its `timer_at`.
    timers: BinaryHeap<Reverse<(DateTime<Utc>, Arc<StreamKey>)>>,
    /// Tasks whose timers may have changed, or that may be forgotten.
    touched: Vec<Arc<StreamKey>>,
}

/// A task in memory.
#[derive(Debug)]
pub(super) struct Tracked {
    key: Arc<StreamKey>,
    /// Commits folded into `task`.
    version: u64,
    task: State,
    facts: Option<TaskFacts>,
    /// The newest commit heard of; ahead of `version` when some were missed.
    heard: u64,
    /// Orders and loads under way.
    under_way: u32,
    /// Leases among them, the one to be repeated included.
    leases: u32,
    /// A lease whose fate is unknown. Its task stays reserved until a repeat is answered: given to no other worker,
    /// and no other task of its session either.
    retry: Option<Box<Order>>,
    /// A lease that was refused: perhaps it, or an earlier try of it, is what made the view stale.
    refused: Option<Box<Order>>,
    /// An order was refused: this view of the task is stale.
    is_doubtful: bool,
    /// After a failure: nothing before this instant.
    not_before: Option<DateTime<Utc>>,
    failures: u32,
    timer_at: Option<DateTime<Utc>>,
}

impl Tasks {
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    pub(super) fn contains(&self, key: &StreamKey) -> bool {
        self.known.contains_key(key)
    }

    pub(super) fn get(&self, key: &StreamKey) -> Option<&Tracked> {
        self.known.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &StreamKey) -> Option<&mut Tracked> {
        self.known.get_mut(key)
    }

    pub(super) fn facts(&self, key: &StreamKey) -> Option<&TaskFacts> {
        self.known.get(key)?.facts()
    }

    /// The facts about a task, with its key.
    pub(super) fn entry_of(&self, key: &StreamKey) -> Option<(&Arc<StreamKey>, &TaskFacts)> {
        let tracked = self.known.get(key)?;
        Some((&tracked.key, tracked.facts()?))
    }

    /// The facts about every task in memory.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<StreamKey>, &TaskFacts)> {
        self.known.values().filter_map(|tracked| Some((&tracked.key, tracked.facts()?)))
    }

    /// Notes that the log has this version of the task; the task's key and the version in memory.
    pub(super) fn hear(&mut self, key: StreamKey, version: u64) -> (Arc<StreamKey>, u64) {
        match self.known.get_mut(&key) {
            Some(tracked) => {
                tracked.heard = tracked.heard.max(version);
                (Arc::clone(&tracked.key), tracked.version)
            }
            None => (Arc::new(key), 0),
        }
    }

    /// The state after these events, which follow the one in memory. The caller hands it to [`Tasks::replace`].
    pub(super) fn fold(&mut self, key: &StreamKey, events: &[Event]) -> State {
        let state = self.known.get_mut(key).and_then(|tracked| tracked.task.take());
        fold::<TaskDecider>(state, events)
    }

    /// Replaces a task's state by a newer one; false when it is not newer. `is_recorded`: events led to it, so the task
    /// moves again.
    pub(super) fn replace(
        &mut self,
        key: &Arc<StreamKey>,
        version: u64,
        state: State,
        is_recorded: bool,
    ) -> bool {
        let tracked = self.entry(key);
        if version <= tracked.version {
            return false;
        }
        tracked.version = version;
        tracked.heard = tracked.heard.max(version);
        tracked.facts = state.as_deref().map(|task| TaskFacts::from_task(task, tracked.facts.as_ref()));
        tracked.task = state;
        if is_recorded {
            tracked.not_before = None;
            tracked.failures = 0;
        }
        true
    }

    pub(super) fn forget(&mut self, key: &StreamKey) {
        self.known.remove(key);
    }

    /// An order to the task; none when it holds no task.
    pub(super) fn order(
        &mut self,
        key: &StreamKey,
        command: Command,
        request: Option<CallId>,
        now: DateTime<Utc>,
    ) -> Option<Order> {
        let tracked = self.known.get_mut(key)?;
        let order = Order::new(&tracked.key, tracked.revision()?, command, request, now)?;
        tracked.under_way += 1;
        tracked.leases += u32::from(order.is_lease());
        Some(order)
    }

    /// True when the task is to be loaded now, which counts as under way from here on.
    pub(super) fn load(&mut self, key: &Arc<StreamKey>, heard: u64) -> bool {
        let tracked = self.entry(key);
        tracked.heard = tracked.heard.max(heard);
        if tracked.under_way > 0 {
            return false;
        }
        tracked.is_doubtful = false;
        tracked.under_way = 1;
        true
    }

    fn entry(&mut self, key: &Arc<StreamKey>) -> &mut Tracked {
        self.known.entry(Arc::clone(key)).or_insert_with(|| Tracked::new(Arc::clone(key)))
    }

    /// Marks a task whose timer may have changed, or that may be forgotten.
    pub(super) fn touch(&mut self, key: &Arc<StreamKey>) {
        self.touched.push(Arc::clone(key));
    }

    pub(super) fn next_touched(&mut self) -> Option<Arc<StreamKey>> {
        self.touched.pop()
    }

    /// Sets the timer, unless one fires earlier: that one finds nothing due and sets it again.
    pub(super) fn set_timer(&mut self, key: &StreamKey, due: DateTime<Utc>) {
        let Some(tracked) = self.known.get_mut(key) else { return };
        if tracked.timer_at.is_none_or(|timer_at| due < timer_at) {
            tracked.timer_at = Some(due);
            self.timers.push(Reverse((due, Arc::clone(&tracked.key))));
        }
    }

    /// The next task whose timer fires.
    pub(super) fn pop_due(&mut self, now: DateTime<Utc>) -> Option<Arc<StreamKey>> {
        while self.timers.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            let Reverse((at, key)) = self.timers.pop()?;
            if let Some(tracked) = self.known.get_mut(&key).filter(|tracked| tracked.timer_at == Some(at)) {
                tracked.timer_at = None;
                return Some(key);
            }
        }
        None
    }

    pub(super) fn next_due(&self) -> Option<DateTime<Utc>> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }
}

impl Tracked {
    fn new(key: Arc<StreamKey>) -> Self {
        Self {
            key,
            version: 0,
            task: None,
            facts: None,
            heard: 0,
            under_way: 0,
            leases: 0,
            retry: None,
            refused: None,
            is_doubtful: false,
            not_before: None,
            failures: 0,
            timer_at: None,
        }
    }

    pub(super) fn facts(&self) -> Option<&TaskFacts> {
        self.facts.as_ref()
    }

    /// The whole task, for commands and answers that carry more than facts.
    pub(super) fn whole(&self) -> Option<&Task> {
        self.task.as_deref()
    }

    pub(super) fn heard(&self) -> u64 {
        self.heard
    }

    pub(super) fn revision(&self) -> Option<Revision> {
        let TaskFacts { epoch, runs, .. } = self.facts()?;
        Some(Revision { version: self.version, epoch: *epoch, runs: *runs })
    }

    /// True when no order and no load is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way == 0
    }

    /// True while a lease is under way or to be repeated.
    pub(super) fn is_leasing(&self) -> bool {
        self.leases > 0
    }

    /// True when the state in memory is not the one in the log.
    pub(super) fn is_stale(&self) -> bool {
        self.is_doubtful || self.heard > self.version
    }

    /// True when a lease is to be repeated.
    pub(super) fn has_retry(&self) -> bool {
        self.retry.is_some()
    }

    /// True when a load should begin at once, and not only after a pause.
    pub(super) fn wants_load(&self) -> bool {
        self.is_stale() && self.failures == 0 && self.retry.is_none()
    }

    /// `due`, or the end of a pause that lasts longer.
    pub(super) fn after_pause(&self, due: DateTime<Utc>) -> DateTime<Utc> {
        self.not_before.map_or(due, |not_before| due.max(not_before))
    }

    /// Ends a pause: something about the task changed that is not recorded in it.
    pub(super) fn end_pause(&mut self) {
        if self.retry.is_none() {
            self.not_before = None;
        }
    }

    /// Begins an order to another task that counts as under way here.
    pub(super) fn begin(&mut self) {
        self.under_way += 1;
    }

    /// Begins the lease that is to be repeated, if there is one.
    pub(super) fn begin_retry(&mut self) -> Option<Order> {
        let order = self.retry.take()?;
        self.under_way += 1;
        Some(*order)
    }

    /// Ends an order or a load.
    pub(super) fn end(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Ends a pause after a success.
    pub(super) fn resumed(&mut self) {
        self.failures = 0;
        self.not_before = None;
    }

    pub(super) fn failed(&mut self, now: DateTime<Utc>, is_retryable: bool) {
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(after_failure(now, self.failures, is_retryable));
    }

    /// Notes the outcome of an order to this task. `may_repeat`: an order that recorded nothing may follow at once.
    pub(super) fn settled(&mut self, order: &Order, outcome: &Settled, may_repeat: bool, now: DateTime<Utc>) {
        match outcome {
            Settled::Decided { events, .. } => {
                self.failures = 0;
                self.leases -= u32::from(order.is_lease() && self.leases > 0);
                self.not_before = (events.is_empty() && !may_repeat).then(|| parked(now));
            }
            Settled::Refused => {
                self.failures = 0;
                self.leases -= u32::from(order.is_lease() && self.leases > 0);
                self.is_doubtful = true;
                self.refused = order.is_lease().then(|| Box::new(order.clone()));
            }
            Settled::Failed { is_retryable } => {
                self.failed(now, *is_retryable);
                if order.is_lease() {
                    self.leases = self.leases.saturating_sub(u32::from(self.retry.is_some()));
                    self.retry = Some(Box::new(Order { request: None, ..order.clone() }));
                }
            }
        }
    }

    /// Notes the outcome of a load; the lease that was refused before it, if one was.
    pub(super) fn loaded(&mut self, outcome: &Loaded, now: DateTime<Utc>) -> Option<Box<Order>> {
        self.end();
        match outcome {
            Loaded::State { version, state } => {
                self.failures = 0;
                self.not_before = None;
                if state.is_none() {
                    // A stream that holds no task has no commits to wait for: it must not be loaded again and again.
                    self.heard = *version;
                }
                self.refused.take()
            }
            Loaded::Failed { is_retryable } => {
                self.is_doubtful = true;
                self.failed(now, *is_retryable);
                None
            }
        }
    }
}
