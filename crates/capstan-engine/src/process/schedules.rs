//! Schedules: the next tick of each, and the open tasks each has created.
//!
//! One schedule has at most one timer and one order under way. The outcome of an order carries the schedule's state, so
//! the next timer is set from what is recorded and never from a guess.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;

use capstan_contract::ScheduleCodec;
use capstan_decider::fold;
use capstan_domain::id::{AgentId, TaskId, derived};
use capstan_domain::matching::StreamKey;
use capstan_domain::schedule::{ScheduleDecider, State};
use capstan_envelope::{Codec as _, CodecError, Recorded};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::effect::{AgentCheck, Effect, ScheduleKey, TickOrder};
use super::facts::TaskFacts;
use super::outcome::ScheduleSettled;
use super::retry::after_failure;

/// The schedules in memory and their timers.
#[derive(Debug, Default)]
pub(super) struct Schedules {
    known: HashMap<Arc<ScheduleKey>, KnownSchedule>,
    timers: BinaryHeap<Reverse<(DateTime<Utc>, Arc<ScheduleKey>)>>,
    /// Tasks that are not over, by the schedule that created them.
    open: HashMap<ScheduleKey, BTreeSet<TaskId>>,
}

#[derive(Debug, Default)]
struct KnownSchedule {
    version: u64,
    state: State,
    /// The newest commit heard of; ahead of `version` when some were missed.
    heard: u64,
    is_under_way: bool,
    /// The version of its agent that was not checked yet.
    agent_changed: Option<u64>,
    failures: u32,
    /// After a failure: nothing before this instant.
    not_before: Option<DateTime<Utc>>,
    timer_at: Option<DateTime<Utc>>,
}

impl KnownSchedule {
    fn is_stale(&self) -> bool {
        self.heard > self.version
    }

    fn next_due(&self) -> Option<DateTime<Utc>> {
        let due = if self.is_stale() || self.agent_changed.is_some() {
            DateTime::<Utc>::MIN_UTC
        } else {
            self.state.as_deref()?.next?.run_at
        };
        Some(self.not_before.map_or(due, |not_before| due.max(not_before)))
    }

    fn fail(&mut self, now: DateTime<Utc>, is_retryable: bool) {
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(after_failure(now, self.failures, is_retryable));
    }
}

impl Schedules {
    /// Takes a schedule as a snapshot or an order has it.
    pub(super) fn replace(&mut self, key: &Arc<ScheduleKey>, version: u64, state: State) {
        let known = self.known.entry(Arc::clone(key)).or_default();
        if version > known.version {
            *known =
                KnownSchedule { version, state, heard: known.heard.max(version), ..KnownSchedule::default() };
        }
        self.set_timer(key);
    }

    /// Takes a commit of a schedule. Older ones change nothing; after a gap the schedule is loaded.
    pub(super) fn commit(&mut self, key: ScheduleKey, recorded: &Recorded) -> Result<(), CodecError> {
        let version = recorded.commit.version;
        let key = Arc::new(key);
        let known = self.known.entry(Arc::clone(&key)).or_default();
        known.heard = known.heard.max(version);
        if version == known.version + 1 {
            let events: Vec<_> = ScheduleCodec::decode(&recorded.commit)?;
            known.state = fold::<ScheduleDecider>(known.state.take(), &events);
            known.version = version;
            known.not_before = None;
            known.failures = 0;
        }
        self.set_timer(&key);
        Ok(())
    }

    /// Notes that an agent has changed: its schedules check it at once, and not only at their next tick.
    pub(super) fn agent_changed(&mut self, recorded: &Recorded) {
        let stream = &recorded.commit.stream;
        let Ok(agent_id) = stream.id().parse::<AgentId>() else { return };
        let is_its = |(key, known): &(&Arc<ScheduleKey>, &mut KnownSchedule)| {
            key.workspace == stream.workspace().as_str()
                && known.state.as_deref().is_some_and(|schedule| schedule.agent_id == agent_id)
        };
        let mut keys = Vec::new();
        for (key, known) in self.known.iter_mut().filter(is_its) {
            known.agent_changed = Some(recorded.commit.version);
            keys.push(Arc::clone(key));
        }
        for key in keys {
            self.set_timer(&key);
        }
    }

    /// Keeps the list of open tasks that a schedule has created.
    pub(super) fn observe_task(&mut self, key: &StreamKey, facts: Option<&TaskFacts>) {
        let Some(facts) = facts else { return };
        let Some(schedule_id) = facts.rare().schedule_id else { return };
        let schedule = ScheduleKey { workspace: key.workspace.to_string(), schedule_id };
        if !facts.state.is_terminal() {
            self.open.entry(schedule).or_default().insert(key.task_id);
        } else if let Some(open) = self.open.get_mut(&schedule) {
            open.remove(&key.task_id);
            if open.is_empty() {
                self.open.remove(&schedule);
            }
        }
    }

    /// Takes the outcome of an order or a load.
    pub(super) fn settled(
        &mut self,
        key: &Arc<ScheduleKey>,
        tick: Option<DateTime<Utc>>,
        outcome: ScheduleSettled,
        now: DateTime<Utc>,
    ) {
        let Some(known) = self.known.get_mut(key) else { return };
        known.is_under_way = false;
        match outcome {
            ScheduleSettled::State { version, state } => {
                if version >= known.version {
                    known.version = version;
                    known.heard = known.heard.max(version);
                    known.state = state;
                    known.failures = 0;
                    known.not_before = None;
                }
                let next = known.state.as_deref().and_then(|schedule| schedule.next);
                if next.is_some_and(|next| Some(next.tick) == tick && next.run_at <= now) {
                    // It was ordered and changed nothing: without a pause its timer would fire in a loop.
                    known.fail(now, false);
                }
            }
            ScheduleSettled::Failed { is_retryable } => known.fail(now, is_retryable),
        }
        self.set_timer(key);
    }

    /// Orders what is due, at most so many at once.
    pub(super) fn turn(&mut self, orders_max: usize, now: DateTime<Utc>) -> Vec<Effect> {
        let mut effects = Vec::new();
        while effects.len() < orders_max && self.timers.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            let Some(Reverse((at, key))) = self.timers.pop() else { break };
            let Some(known) = self.known.get_mut(&key).filter(|known| known.timer_at == Some(at)) else {
                continue;
            };
            known.timer_at = None;
            if known.is_under_way || known.next_due().is_none_or(|due| due > now) {
                self.set_timer(&key);
                continue;
            }
            known.is_under_way = true;
            if known.is_stale() {
                effects.push(Effect::LoadSchedule(key));
                continue;
            }
            let changed = known.agent_changed.take();
            let Some((schedule, next)) = known.state.as_deref().and_then(|it| Some((it, it.next?))) else {
                continue;
            };
            if let Some(version) = changed {
                let agent_id = schedule.agent_id;
                let command_id = command_id(&key, "pause-schedule", &version.to_string());
                effects.push(Effect::CheckAgent(Box::new(AgentCheck { key, command_id, agent_id, at: now })));
                continue;
            }
            // The log may not have delivered the task created last yet.
            let open = self.open.get(&*key).into_iter().flatten().copied();
            let open: BTreeSet<TaskId> = open.chain(schedule.last_task_id).collect();
            effects.push(Effect::Tick(Box::new(TickOrder {
                command_id: command_id(&key, "tick-schedule", &next.tick.to_rfc3339()),
                agent_id: schedule.agent_id,
                overlap: schedule.definition.overlap,
                tick: next.tick,
                open_task_ids: open.into_iter().collect(),
                at: now,
                key,
            })));
        }
        effects
    }

    /// The instant [`Schedules::turn`] has something to do.
    pub(super) fn next_due(&self) -> Option<DateTime<Utc>> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    /// Sets the schedule's timer, and forgets one that waits for nothing.
    fn set_timer(&mut self, key: &Arc<ScheduleKey>) {
        let Some(known) = self.known.get_mut(key).filter(|known| !known.is_under_way) else { return };
        match known.next_due() {
            // A later commit of it is a gap then, and loads it again.
            None => {
                self.known.remove(key);
            }
            Some(due) if known.timer_at.is_none_or(|timer_at| due < timer_at) => {
                known.timer_at = Some(due);
                self.timers.push(Reverse((due, Arc::clone(key))));
            }
            Some(_) => {}
        }
    }
}

/// The id of a command to a schedule: retries and new leaders derive the same one.
fn command_id(key: &ScheduleKey, name: &str, subject: &str) -> Uuid {
    derived(&["engine", name, &key.workspace, &key.schedule_id.to_string(), subject])
}
