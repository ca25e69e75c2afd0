//! Schedules: which tick of each comes next, and which of their tasks are open.
//!
//! One schedule has at most one entry in the timer heap and one order under way. Whatever an order comes to, the
//! schedule's state comes back with it, so the next timer is set from what is recorded and never from a guess.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;

use capstan_contract::ScheduleCodec;
use capstan_decider::fold;
use capstan_domain::id::{AgentId, ScheduleId, TaskId, derived};
use capstan_domain::matching::StreamKey;
use capstan_domain::schedule::{Overlap, ScheduleDecider, State};
use capstan_domain::task::Task;
use capstan_envelope::{Codec, CodecError, Recorded, StreamId};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::PARKED_MS;
use super::effect::Effect;
use super::tracked::{backoff, later};

/// Which schedule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScheduleKey {
    /// Its workspace.
    pub workspace: String,
    /// The schedule.
    pub schedule_id: ScheduleId,
}

impl ScheduleKey {
    /// The schedule a stream holds; `None` for streams of other things.
    pub fn of(stream: &StreamId) -> Option<Self> {
        if stream.category() != ScheduleCodec::CATEGORY {
            return None;
        }
        let schedule_id = stream.id().parse().ok()?;
        Some(Self { workspace: stream.workspace().as_str().to_owned(), schedule_id })
    }
}

/// The time of a tick has come.
#[derive(Clone, Debug)]
pub struct TickOrder {
    /// Which schedule.
    pub key: Arc<ScheduleKey>,
    /// The same for the same tick, whoever has it and however often.
    pub command_id: Uuid,
    /// The agent to be told.
    pub agent_id: AgentId,
    /// What an open task means for the tick.
    pub overlap: Overlap,
    /// Which tick.
    pub tick: DateTime<Utc>,
    /// Tasks of the schedule that may be open.
    pub open_task_ids: Vec<TaskId>,
    /// When it was given.
    pub at: DateTime<Utc>,
}

/// The agent of a schedule has changed: it may not take commands any more.
#[derive(Clone, Debug)]
pub struct AgentCheck {
    /// Which schedule.
    pub key: Arc<ScheduleKey>,
    /// The same for the same change, whoever has it and however often.
    pub command_id: Uuid,
    /// The agent that changed.
    pub agent_id: AgentId,
    /// When it was given.
    pub at: DateTime<Utc>,
}

/// A schedule after an order or a load.
#[derive(Debug)]
pub enum Seen {
    /// As the log has it.
    State {
        /// Its version.
        version: u64,
        /// The schedule.
        state: State,
    },
    /// Nobody knows.
    Failed {
        /// True when a repeat may succeed.
        is_retryable: bool,
    },
}

/// What the process remembers of schedules.
#[derive(Debug, Default)]
pub(super) struct Schedules {
    known: HashMap<Arc<ScheduleKey>, Known>,
    rings: BinaryHeap<Reverse<(DateTime<Utc>, Arc<ScheduleKey>)>>,
    /// Tasks that are not over, by the schedule that made them.
    open: HashMap<ScheduleKey, BTreeSet<TaskId>>,
}

#[derive(Debug, Default)]
struct Known {
    version: u64,
    state: State,
    /// The newest commit heard of; ahead of `version` when some were missed.
    heard: u64,
    is_under_way: bool,
    /// The version of its agent that has not been looked at.
    agent_changed: Option<u64>,
    failures: u32,
    /// After a failure: nothing before this instant.
    not_before: Option<DateTime<Utc>>,
    rings_at: Option<DateTime<Utc>>,
}

impl Known {
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
        self.not_before = Some(later(now, if is_retryable { backoff(self.failures) } else { PARKED_MS }));
    }
}

impl Schedules {
    /// Takes a schedule as a snapshot or an order has it.
    pub(super) fn take(&mut self, key: &Arc<ScheduleKey>, version: u64, state: State) {
        let known = self.known.entry(Arc::clone(key)).or_default();
        if version > known.version {
            *known = Known { version, state, heard: known.heard.max(version), ..Known::default() };
        }
        self.tidy(key);
    }

    /// Takes a commit of a schedule. Older ones change nothing; after a gap the schedule is loaded.
    pub(super) fn commit(&mut self, key: ScheduleKey, recorded: &Recorded) -> Result<(), CodecError> {
        let version = recorded.commit.version;
        let key = Arc::new(key);
        let known = self.known.entry(Arc::clone(&key)).or_default();
        known.heard = known.heard.max(version);
        if version == known.version + 1 {
            let events: Vec<_> =
                recorded.commit.events.iter().map(ScheduleCodec::decode).collect::<Result<_, _>>()?;
            known.state = fold::<ScheduleDecider>(known.state.take(), &events);
            known.version = version;
            known.not_before = None;
            known.failures = 0;
        }
        self.tidy(&key);
        Ok(())
    }

    /// Notes that an agent has changed: its schedules look at it at once, and not only at their next tick.
    pub(super) fn agent_changed(&mut self, recorded: &Recorded) {
        let stream = &recorded.commit.stream;
        let Ok(agent_id) = stream.id().parse::<AgentId>() else { return };
        let is_its = |(key, known): &(&Arc<ScheduleKey>, &mut Known)| {
            key.workspace == stream.workspace().as_str()
                && known.state.as_deref().is_some_and(|schedule| schedule.agent_id == agent_id)
        };
        let mut keys = Vec::new();
        for (key, known) in self.known.iter_mut().filter(is_its) {
            known.agent_changed = Some(recorded.commit.version);
            keys.push(Arc::clone(key));
        }
        for key in keys {
            self.tidy(&key);
        }
    }

    /// Notes whether a task that a schedule made is open.
    pub(super) fn observe_task(&mut self, key: &StreamKey, task: Option<&Task>) {
        let Some(task) = task else { return };
        let Some(Ok(schedule_id)) = task.accepted.schedule_id.as_deref().map(str::parse) else { return };
        let schedule = ScheduleKey { workspace: key.workspace.to_string(), schedule_id };
        if !task.state.is_terminal() {
            self.open.entry(schedule).or_default().insert(key.task_id);
        } else if let Some(open) = self.open.get_mut(&schedule) {
            open.remove(&key.task_id);
            if open.is_empty() {
                self.open.remove(&schedule);
            }
        }
    }

    /// Takes the outcome of an order or a load.
    pub(super) fn seen(
        &mut self,
        key: &Arc<ScheduleKey>,
        tick: Option<DateTime<Utc>>,
        seen: Seen,
        now: DateTime<Utc>,
    ) {
        let Some(known) = self.known.get_mut(key) else { return };
        known.is_under_way = false;
        match seen {
            Seen::State { version, state } => {
                if version >= known.version {
                    known.version = version;
                    known.heard = known.heard.max(version);
                    known.state = state;
                    known.failures = 0;
                    known.not_before = None;
                }
                let next = known.state.as_deref().and_then(|schedule| schedule.next);
                if next.is_some_and(|next| Some(next.tick) == tick && next.run_at <= now) {
                    // It was ordered and did not move: a timer that changes nothing would ring for ever.
                    known.fail(now, false);
                }
            }
            Seen::Failed { is_retryable } => known.fail(now, is_retryable),
        }
        self.tidy(key);
    }

    /// Orders what is due.
    pub(super) fn turn(&mut self, now: DateTime<Utc>, effects: &mut Vec<Effect>) {
        while self.rings.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            let Some(Reverse((at, key))) = self.rings.pop() else { break };
            let Some(known) = self.known.get_mut(&key).filter(|known| known.rings_at == Some(at)) else {
                continue;
            };
            known.rings_at = None;
            if known.is_under_way || known.next_due().is_none_or(|due| due > now) {
                self.tidy(&key);
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
            // The task made last may not have come by the log yet.
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
    }

    /// When [`Schedules::turn`] has something to do.
    pub(super) fn next_due(&self) -> Option<DateTime<Utc>> {
        self.rings.peek().map(|Reverse((at, _))| *at)
    }

    /// Sets the schedule's timer, and forgets one that waits for nothing.
    fn tidy(&mut self, key: &Arc<ScheduleKey>) {
        let Some(known) = self.known.get_mut(key).filter(|known| !known.is_under_way) else { return };
        match known.next_due() {
            // A later commit of it is a gap then, and loads it anew.
            None => {
                self.known.remove(key);
            }
            Some(due) if known.rings_at.is_none_or(|rings_at| due < rings_at) => {
                known.rings_at = Some(due);
                self.rings.push(Reverse((due, Arc::clone(key))));
            }
            Some(_) => {}
        }
    }
}

/// The id of a command to a schedule: the same for the same intention.
fn command_id(key: &ScheduleKey, name: &str, subject: &str) -> Uuid {
    derived(&["engine", name, &key.workspace, &key.schedule_id.to_string(), subject])
}
