//! The tasks in memory: how far each is known, which orders are under way, and when its timer fires.
//!
//! Of a task that is open for months only [`TaskFacts`] are held, some 150 bytes with its timer. The task itself comes
//! with a commit, an order or a load, and goes again.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use capstan_domain::matching::StreamKey;
use capstan_domain::millis::Millis;
use capstan_domain::slab::{Keyed, Slab};
use capstan_domain::task::Command;
use capstan_domain::task::State;
use chrono::{DateTime, Utc};

use super::effect::{CallId, Order, Revision};
use super::facts::TaskFacts;
use super::origin::{Origins, TaskName};
use super::outcome::{Loaded, Settled};
use super::work::Work;

/// Entries of timers that no longer count and are kept all the same.
const STALE_TIMERS_MAX: usize = 4096;

/// The tasks in memory and their timers.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    known: Slab<Tracked>,
    origins: Origins,
    /// By the numbers of the tasks. At most one entry per task counts: the one at its `timer_at`.
    timers: BinaryHeap<Reverse<(Millis, u32)>>,
    /// Tasks whose timers may have changed, or that may be forgotten.
    touched: Vec<u32>,
}

/// A task in memory.
#[derive(Debug)]
pub(super) struct Tracked {
    name: TaskName,
    /// The commits the facts hold.
    version: u32,
    /// The newest commit heard of; ahead of `version` when some were missed.
    heard: u32,
    /// The newest commit whose events were followed; behind `version` when the facts came with a later one.
    followed: u32,
    timer_at: Option<Millis>,
    facts: Option<TaskFacts>,
    /// Nothing under way and no failure when absent.
    work: Option<Box<Work>>,
}

impl Keyed for Tracked {
    type Key = TaskName;

    fn key(&self) -> &TaskName {
        &self.name
    }
}

/// A version in four bytes: a task with more commits would be larger than any log.
fn short(version: u64) -> u32 {
    u32::try_from(version).unwrap_or(u32::MAX)
}

impl Tasks {
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// The name of a task; none when nothing of its workspace is known.
    pub(super) fn name(&self, key: &StreamKey) -> Option<TaskName> {
        self.origins.known(key)
    }

    /// The number of a task in memory; another one's once the task is let go of.
    pub(super) fn number(&self, key: &StreamKey) -> Option<u32> {
        self.known.number(&self.name(key)?)
    }

    pub(super) fn contains(&self, key: &StreamKey) -> bool {
        self.number(key).is_some()
    }

    pub(super) fn get(&self, key: &StreamKey) -> Option<&Tracked> {
        self.known.find(&self.name(key)?)
    }

    pub(super) fn get_mut(&mut self, key: &StreamKey) -> Option<&mut Tracked> {
        let name = self.name(key)?;
        self.known.find_mut(&name)
    }

    pub(super) fn facts(&self, key: &StreamKey) -> Option<&TaskFacts> {
        self.get(key)?.facts()
    }

    /// The number and version of a task in memory.
    pub(super) fn place(&self, key: &StreamKey) -> Option<(u32, u64)> {
        let number = self.number(key)?;
        Some((number, u64::from(self.known.get(number)?.version)))
    }

    /// The number after the last one a task has or had; never falls.
    pub(super) fn end(&self) -> u32 {
        self.known.end()
    }

    /// The task with this number, and the facts about it.
    pub(super) fn at(&self, number: u32) -> Option<(StreamKey, &TaskFacts)> {
        let tracked = self.known.get(number)?;
        Some((self.origins.key(tracked.name)?, tracked.facts()?))
    }

    /// Notes that the log has this version of the task. The version in memory, 0 for a task that is not.
    pub(super) fn hear(&mut self, key: &StreamKey, version: u64) -> u64 {
        self.get_mut(key).map_or(0, |tracked| {
            tracked.heard = tracked.heard.max(short(version));
            u64::from(tracked.version)
        })
    }

    /// True when the events of this commit were not followed before; from here on they are.
    pub(super) fn follow(&mut self, key: &StreamKey, version: u64) -> bool {
        let Some(tracked) = self.get_mut(key) else { return false };
        let is_new = short(version) > tracked.followed;
        tracked.followed = tracked.followed.max(short(version));
        is_new
    }

    /// Takes the newer state of a task; false when it is not newer. `is_recorded`: events led to it, so the task moves
    /// again.
    pub(super) fn replace(
        &mut self,
        key: &StreamKey,
        version: u64,
        state: &State,
        is_recorded: bool,
    ) -> bool {
        let number = self.entry(key);
        let Some(tracked) = self.known.get_mut(number) else { return false };
        if short(version) <= tracked.version {
            return false;
        }
        tracked.version = short(version);
        tracked.heard = tracked.heard.max(tracked.version);
        tracked.facts = state.as_deref().map(|task| {
            let origin = tracked.facts.take().map(|before| before.origin);
            TaskFacts::from_task(task, origin, &mut self.origins)
        });
        if is_recorded {
            tracked.resumed();
        }
        true
    }

    pub(super) fn forget(&mut self, key: &StreamKey) {
        if let Some(name) = self.name(key) {
            self.known.remove(&name);
        }
    }

    /// An order to the task; none when it holds no task.
    pub(super) fn order(
        &mut self,
        key: &StreamKey,
        command: Command,
        request: Option<CallId>,
        now: DateTime<Utc>,
    ) -> Option<Order> {
        let key = self.origins.key(self.name(key)?)?;
        let tracked = self.get_mut(&key)?;
        let order = Order::new(&key, tracked.revision()?, command, request, now)?;
        tracked.work_mut().begin(order.is_lease());
        Some(order)
    }

    /// True when the task is to be loaded now, which counts as under way from here on. `is_for_step`: the whole task is
    /// needed for a step, and nothing about it is in doubt.
    pub(super) fn load(&mut self, key: &StreamKey, heard: u64, is_for_step: bool) -> bool {
        let number = self.entry(key);
        let Some(tracked) = self.known.get_mut(number) else { return false };
        tracked.heard = tracked.heard.max(short(heard));
        tracked.work_mut().begin_load(is_for_step)
    }

    fn entry(&mut self, key: &StreamKey) -> u32 {
        let name = self.origins.name(key);
        if let Some(number) = self.known.number(&name) {
            return number;
        }
        self.known.insert(Tracked {
            name,
            version: 0,
            heard: 0,
            followed: 0,
            timer_at: None,
            facts: None,
            work: None,
        })
    }

    /// Marks a task whose timer may have changed, or that may be forgotten.
    pub(super) fn touch(&mut self, key: &StreamKey) {
        self.touched.extend(self.number(key));
    }

    pub(super) fn next_touched(&mut self) -> Option<StreamKey> {
        while let Some(number) = self.touched.pop() {
            if let Some(tracked) = self.known.get(number) {
                return self.origins.key(tracked.name);
            }
        }
        None
    }

    /// Sets the timer, unless one fires earlier: that one finds nothing due and sets it again.
    pub(super) fn set_timer(&mut self, key: &StreamKey, due: DateTime<Utc>) {
        let Some(number) = self.number(key) else { return };
        let Some(tracked) = self.known.get_mut(number) else { return };
        let due = Millis::since(due);
        if tracked.timer_at.is_none_or(|timer_at| due < timer_at) {
            tracked.timer_at = Some(due);
            self.timers.push(Reverse((due, number)));
        }
        if self.timers.len() > 2 * self.known.len() + STALE_TIMERS_MAX {
            let is_set = |Reverse((at, number)): &Reverse<(Millis, u32)>| {
                self.known.get(*number).is_some_and(|tracked| tracked.timer_at == Some(*at))
            };
            self.timers.retain(is_set);
        }
    }

    /// The next task whose timer fires.
    pub(super) fn pop_due(&mut self, now: DateTime<Utc>) -> Option<StreamKey> {
        while self.timers.peek().is_some_and(|Reverse((at, _))| at.time() <= now) {
            let Reverse((at, number)) = self.timers.pop()?;
            if let Some(tracked) = self.known.get_mut(number).filter(|tracked| tracked.timer_at == Some(at)) {
                tracked.timer_at = None;
                return self.origins.key(tracked.name);
            }
        }
        None
    }

    pub(super) fn next_due(&self) -> Option<DateTime<Utc>> {
        self.timers.peek().map(|Reverse((at, _))| at.time())
    }
}

impl Tracked {
    pub(super) fn facts(&self) -> Option<&TaskFacts> {
        self.facts.as_ref()
    }

    pub(super) fn heard(&self) -> u64 {
        u64::from(self.heard)
    }

    pub(super) fn revision(&self) -> Option<Revision> {
        let TaskFacts { epoch, runs, .. } = self.facts()?;
        Some(Revision { version: u64::from(self.version), epoch: u64::from(*epoch), runs: *runs })
    }

    pub(super) fn work(&self) -> Option<&Work> {
        self.work.as_deref()
    }

    pub(super) fn work_mut(&mut self) -> &mut Work {
        self.work.get_or_insert_default()
    }

    /// Lets go of the record of work when nothing is left of it.
    pub(super) fn tidy(&mut self) {
        self.work.take_if(|work| work.is_over());
    }

    /// True when no order and no load is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.work().is_none_or(Work::is_idle)
    }

    /// True while a lease is under way or to be repeated.
    pub(super) fn is_leasing(&self) -> bool {
        self.work().is_some_and(Work::is_leasing)
    }

    /// True when the state in memory is not the one in the log.
    pub(super) fn is_stale(&self) -> bool {
        self.heard > self.version || self.work().is_some_and(Work::is_doubtful)
    }

    /// True when a lease is to be repeated.
    pub(super) fn has_retry(&self) -> bool {
        self.work().is_some_and(Work::has_retry)
    }

    /// True when a load should begin at once, and not only after a pause.
    pub(super) fn wants_load(&self) -> bool {
        self.is_stale() && self.work().is_none_or(Work::may_load)
    }

    /// `due`, or the end of a pause that lasts longer.
    pub(super) fn after_pause(&self, due: DateTime<Utc>) -> DateTime<Utc> {
        self.work().map_or(due, |work| work.after_pause(due))
    }

    /// True from a failure until the pause after it has ended.
    pub(super) fn is_paused(&self) -> bool {
        self.work().is_some_and(Work::is_paused)
    }

    /// Ends a pause: something about the task changed that is not recorded in it.
    pub(super) fn end_pause(&mut self) {
        if let Some(work) = &mut self.work {
            work.end_pause();
        }
    }

    /// Ends a pause after a success.
    pub(super) fn resumed(&mut self) {
        if let Some(work) = &mut self.work {
            work.resumed();
        }
    }

    /// Notes the outcome of an order to this task. `may_repeat`: an order that recorded nothing may follow at once.
    pub(super) fn settled(&mut self, order: &Order, outcome: &Settled, may_repeat: bool, now: DateTime<Utc>) {
        self.work_mut().settled(order, outcome, may_repeat, now);
    }

    /// Notes the outcome of a load; the lease that was refused before it, if one was.
    pub(super) fn loaded(&mut self, outcome: &Loaded, now: DateTime<Utc>) -> Option<Box<Order>> {
        if let Loaded::State { version, state: None } = outcome {
            // A stream that holds no task has no commits to wait for: it must not be loaded again and again.
            self.heard = short(*version);
        }
        self.work_mut().loaded(outcome, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_in_memory_is_small() {
        assert!(size_of::<Option<Tracked>>() <= 112, "{} bytes", size_of::<Option<Tracked>>());
    }
}
