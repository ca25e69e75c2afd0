//! The pure part of the engine: what happens goes in, effects come out as data.
//!
//! Commits, requests, outcomes of orders and the time are told; [`Process::turn`] gives back what is to be done. It
//! reads no clock and touches no network, so thousands of crashes can be rehearsed in a test.
//!
//! One task has at most one entry in the timer heap; a renewal only moves the deadline in memory, and an entry that
//! rings early is put back. Nothing here costs more than a logarithm per event, except that new work is offered to
//! the waiting workers one after another.

mod budgets;
mod classes;
mod desk;
mod effect;
mod family;
mod leased;
mod schedules;
mod tool_execution;
mod tracked;
mod watching;
mod workers;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;

use capstan_contract::{AgentCodec, TaskCodec, WorkspaceCodec};
use capstan_decider::fold;
use capstan_domain::matching::{self, Depth, Matching, StreamKey};
use capstan_domain::schedule;
use capstan_domain::task::{Command, Event, State, Task, TaskDecider};
use capstan_envelope::{Codec, CodecError, Recorded, StreamId};
use chrono::{DateTime, Utc};

pub use classes::{ClassKey, ClassOrder, ClassSettled, class_key};
pub use effect::{CallId, Effect, Order};
pub use schedules::{AgentCheck, ScheduleKey, Seen, TickOrder};
pub use tool_execution::{ToolAnswer, ToolRequest};

use budgets::Budgets;
use classes::Classes;
use desk::Desk;
use family::Families;
use schedules::Schedules;
use tool_execution::ToolPoll;
use tracked::{Tracked, backoff, later};
use watching::Watching;

/// Pause after a failure that repeating cannot cure, or an order that changed nothing.
const PARKED_MS: i64 = 60_000;
/// No leases for so long after one could not be recorded.
const LEASE_PAUSE_MS: i64 = 250;

/// Settings of the process.
#[derive(Clone, Copy, Debug)]
pub struct ProcessConfig {
    /// How long a lease lasts without renewal, in milliseconds.
    pub lease_ms: i64,
    /// How often workers are asked to renew, in milliseconds.
    pub renew_every_ms: i64,
    /// How long a worker has to stop, in milliseconds.
    pub grace_ms: i64,
    /// How runs are matched to workers.
    pub matching: matching::Config,
}

/// What became of an order.
#[derive(Debug)]
pub enum Settled {
    /// The task took it.
    Decided {
        /// The task's version now.
        version: u64,
        /// The task now.
        state: State,
        /// What was recorded; empty when it changed nothing.
        events: Vec<Event>,
    },
    /// The task refused it: this view of the task was stale.
    Refused,
    /// It could not be recorded; its fate may be unknown.
    Failed {
        /// True when a repeat may succeed.
        is_retryable: bool,
    },
}

/// What became of a load.
#[derive(Debug)]
pub enum Loaded {
    /// The task as the log has it.
    State {
        /// Its version.
        version: u64,
        /// The task.
        state: State,
    },
    /// It could not be read.
    Failed {
        /// True when a repeat may succeed.
        is_retryable: bool,
    },
}

/// Everything the active engine keeps in memory.
#[derive(Debug)]
pub struct Process {
    config: ProcessConfig,
    tasks: HashMap<Arc<StreamKey>, Tracked>,
    rings: BinaryHeap<Reverse<(DateTime<Utc>, Arc<StreamKey>)>>,
    matching: Matching,
    classes: Classes,
    budgets: Budgets,
    /// Tasks with an approved call a worker is to carry out.
    offered: BTreeSet<Arc<StreamKey>>,
    tool_polls: BTreeMap<CallId, ToolPoll>,
    desk: Desk,
    families: Families,
    watching: Watching,
    schedules: Schedules,
    effects: Vec<Effect>,
}

impl Process {
    /// A process that knows nothing yet.
    pub fn new(config: ProcessConfig, now: DateTime<Utc>) -> Self {
        Self {
            config,
            tasks: HashMap::new(),
            rings: BinaryHeap::new(),
            matching: Matching::new(config.matching),
            classes: Classes::default(),
            budgets: Budgets::new(now),
            offered: BTreeSet::new(),
            tool_polls: BTreeMap::new(),
            desk: Desk::new(now),
            families: Families::default(),
            watching: Watching::default(),
            schedules: Schedules::default(),
            effects: Vec::new(),
        }
    }

    /// Takes a task as a snapshot has it; commits after it follow.
    pub fn begin_with(&mut self, key: StreamKey, version: u64, state: State, now: DateTime<Utc>) {
        self.take(&Arc::new(key), version, state, &[], now);
    }

    /// Takes a schedule as a snapshot has it; commits after it follow.
    pub fn begin_with_schedule(&mut self, key: ScheduleKey, version: u64, state: schedule::State) {
        self.schedules.take(&Arc::new(key), version, state);
    }

    /// Takes the outcome of a tick that was ordered, or of a load.
    pub fn schedule_seen(
        &mut self,
        key: &Arc<ScheduleKey>,
        tick: Option<DateTime<Utc>>,
        seen: Seen,
        now: DateTime<Utc>,
    ) {
        self.schedules.seen(key, tick, seen, now);
    }

    /// Takes a commit from the log. Repeated and older commits change nothing; after a gap the task is loaded.
    pub fn commit(&mut self, recorded: &Recorded, now: DateTime<Utc>) -> Result<(), CodecError> {
        let taken = self.take_commit(recorded, now);
        self.reach(recorded.position, now);
        taken
    }

    fn take_commit(&mut self, recorded: &Recorded, now: DateTime<Utc>) -> Result<(), CodecError> {
        let stream = &recorded.commit.stream;
        if let Some(key) = ScheduleKey::of(stream) {
            return self.schedules.commit(key, recorded);
        }
        if let Some(key) = class_key(stream) {
            return self.class_commit(&key, recorded);
        }
        if let (AgentCodec::CATEGORY, Ok(agent_id)) = (stream.category(), stream.id().parse()) {
            self.schedules.agent_changed(recorded);
            return self.agent_commit(agent_id, recorded);
        }
        if stream.category() == WorkspaceCodec::CATEGORY {
            return self.workspace_commit(recorded);
        }
        let Some(key) = task_key(stream) else { return Ok(()) };
        let events = recorded.commit.events.iter().map(TaskCodec::decode).collect::<Result<Vec<_>, _>>()?;
        let key = self.follow(key, recorded.commit.version, &events, now);
        self.account(&key, recorded.position, &events);
        Ok(())
    }

    /// Folds a commit into what is known of its task.
    fn follow(
        &mut self,
        key: StreamKey,
        version: u64,
        events: &[Event],
        now: DateTime<Utc>,
    ) -> Arc<StreamKey> {
        let (key, known) = match self.tasks.get_mut(&key) {
            Some(tracked) => {
                tracked.heard = tracked.heard.max(version);
                (Arc::clone(&tracked.key), tracked.version)
            }
            None => (Arc::new(key), 0),
        };
        if version <= known {
            return key;
        }
        if version != known + 1 {
            self.load(&key, version);
            return key;
        }
        let state = self.tasks.get_mut(&key).and_then(|tracked| tracked.task.take());
        let state = fold::<TaskDecider>(state, events);
        self.take(&key, version, state, events, now);
        key
    }

    /// Takes the outcome of an order.
    pub fn settled(&mut self, order: &Order, outcome: Settled, now: DateTime<Utc>) {
        if let Some((owner, errand)) = &order.errand {
            return self.errand_settled(owner, errand, order, outcome, now);
        }
        let Some(tracked) = self.tasks.get_mut(&order.key) else { return };
        tracked.under_way = tracked.under_way.saturating_sub(1);
        if order.is_about_tools() {
            self.tool_ordered(order, &outcome, now);
        }
        let Some(tracked) = self.tasks.get_mut(&order.key) else { return };
        let is_warning = matches!(order.command, Command::WarnBudget(_));
        if is_warning && !matches!(outcome, Settled::Failed { .. }) {
            tracked.warn = None;
        }
        let mut given = None;
        match outcome {
            Settled::Decided { version, state, events } => {
                tracked.failures = 0;
                tracked.leases -= u32::from(order.is_lease() && tracked.leases > 0);
                // A timer that changes nothing would ring for ever.
                tracked.not_before = (events.is_empty() && !is_warning).then(|| later(now, PARKED_MS));
                given = state.as_deref().and_then(|task| desk::given(order, task));
                self.take(&order.key, version, state, &events, now);
            }
            Settled::Refused => {
                tracked.failures = 0;
                tracked.leases -= u32::from(order.is_lease() && tracked.leases > 0);
                tracked.is_doubtful = true;
                tracked.refused = order.is_lease().then(|| Box::new(order.clone()));
            }
            Settled::Failed { is_retryable } => {
                tracked.fail(now, is_retryable);
                if order.is_lease() {
                    tracked.leases = tracked.leases.saturating_sub(u32::from(tracked.retry.is_some()));
                    tracked.retry = Some(Box::new(Order { ask: None, ..order.clone() }));
                    self.desk.pause_until(later(now, LEASE_PAUSE_MS));
                }
            }
        }
        match (order.ask.filter(|_| order.is_lease()), given, &order.command) {
            (Some(ask), given, _) => self.lease_settled(ask, given, now),
            (None, Some(given), Command::Lease(lease)) => self.owe(lease.worker_id, given),
            (None, _, _) => {}
        }
        self.tidy(&order.key);
    }

    /// Takes the outcome of a load.
    pub fn loaded(&mut self, key: &Arc<StreamKey>, outcome: Loaded, now: DateTime<Utc>) {
        let Some(tracked) = self.tasks.get_mut(key) else { return };
        tracked.under_way = tracked.under_way.saturating_sub(1);
        match outcome {
            Loaded::State { version, state } => {
                tracked.failures = 0;
                tracked.not_before = None;
                let is_leasing = tracked.leases > 0;
                let is_missing = state.is_none();
                let refused = tracked.refused.take();
                if let Some((Command::Lease(lease), attempt)) = refused
                    .and_then(|order| Some((order.command.clone(), desk::given(&order, state.as_deref()?)?)))
                {
                    self.owe(lease.worker_id, attempt);
                }
                self.take(key, version, state, &[], now);
                if is_missing {
                    self.is_missing(key, now);
                }
                if !is_leasing {
                    // The pick that led here was refused, and the queue now knows why.
                    self.matching.unreserve(key);
                    self.desk.has_news();
                }
            }
            Loaded::Failed { is_retryable } => {
                tracked.is_doubtful = true;
                tracked.fail(now, is_retryable);
            }
        }
        self.tidy(key);
    }

    /// Lets time pass: rings what is due, ends polls, gives out work. Answers what is to be done.
    pub fn turn(&mut self, now: DateTime<Utc>) -> Vec<Effect> {
        self.roll_day(now);
        while self.rings.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            let Some(Reverse((at, key))) = self.rings.pop() else { break };
            self.ring(at, &key, now);
        }
        self.schedules.turn(now, &mut self.effects);
        self.answer_early(now);
        self.ring_classes(now);
        self.serve_tool_polls(now);
        self.serve(now);
        std::mem::take(&mut self.effects)
    }

    /// When [`Process::turn`] should be called although nothing happened.
    pub fn next_due(&self) -> DateTime<Utc> {
        let ring = self.rings.peek().map(|Reverse((at, _))| *at);
        let watches = self.watching.next_due().into_iter();
        ring.into_iter()
            .chain(self.schedules.next_due())
            .chain(watches)
            .chain(self.classes.next_due())
            .chain(self.budgets.next_due())
            .chain(self.tool_polls_due())
            .fold(self.desk.next_due(), DateTime::min)
    }

    /// Counts for metrics.
    pub fn depth(&self) -> Depth {
        self.matching.depth()
    }

    /// Tasks in memory.
    pub fn tracked(&self) -> usize {
        self.tasks.len()
    }

    fn ring(&mut self, at: DateTime<Utc>, key: &Arc<StreamKey>, now: DateTime<Utc>) {
        let Some(tracked) = self.tasks.get_mut(key).filter(|tracked| tracked.rings_at == Some(at)) else {
            return;
        };
        tracked.rings_at = None;
        let is_due = tracked.next_due().is_some_and(|due| due <= now);
        if !is_due || tracked.under_way > 0 {
            // Put back at its present time, or by the outcome of what is under way.
            return self.tidy(key);
        }
        if let Some(order) = tracked.retry.take() {
            tracked.under_way += 1;
            self.effects.push(Effect::Execute(*order));
            return;
        }
        if tracked.is_stale() {
            let heard = tracked.heard;
            return self.load(key, heard);
        }
        let serves_family = tracked.task.as_deref().is_some_and(|task| tracked.kin.is_due(task));
        if serves_family && self.serve_family(key, now) {
            return;
        }
        let timeout_ms = self.tool_timeout_ms(key);
        let Some(tracked) = self.tasks.get(key) else { return };
        if let Some(command) = tracked.due_command(now, self.config.grace_ms, timeout_ms) {
            if matches!(command, Command::ExpireLease(_)) {
                metrics::counter!("capstan_engine_lease_expiries_total").increment(1);
                // What it loses must not go straight back to a worker that has fallen silent.
                if let Some(silent) = tracked.holder() {
                    self.end_polls(silent);
                }
            }
            self.order(key, command, None, now);
        }
    }

    fn order(
        &mut self,
        key: &Arc<StreamKey>,
        command: Command,
        ask: Option<CallId>,
        now: DateTime<Utc>,
    ) -> bool {
        let Some(tracked) = self.tasks.get_mut(key) else { return false };
        let Some(task) = tracked.task.as_deref() else { return false };
        let order = Order::new(&tracked.key, (tracked.version, task), command, ask, now);
        tracked.under_way += 1;
        tracked.leases += u32::from(order.is_lease());
        self.effects.push(Effect::Execute(order));
        true
    }

    fn load(&mut self, key: &Arc<StreamKey>, heard: u64) {
        let tracked = self.tasks.entry(Arc::clone(key)).or_insert_with(|| Tracked::new(Arc::clone(key)));
        tracked.heard = tracked.heard.max(heard);
        if tracked.under_way == 0 {
            tracked.is_doubtful = false;
            tracked.under_way = 1;
            self.effects.push(Effect::Load(Arc::clone(&tracked.key)));
        }
    }

    fn take(
        &mut self,
        key: &Arc<StreamKey>,
        version: u64,
        state: State,
        events: &[Event],
        now: DateTime<Utc>,
    ) {
        let tracked = self.tasks.entry(Arc::clone(key)).or_insert_with(|| Tracked::new(Arc::clone(key)));
        if version <= tracked.version {
            return;
        }
        tracked.version = version;
        tracked.heard = tracked.heard.max(version);
        tracked.task = state;
        if !events.is_empty() {
            tracked.not_before = None;
            tracked.failures = 0;
        }
        let change = tracked.follow_lease(now, self.config.lease_ms);
        tracked.note(events);
        let ended_attempts = events
            .iter()
            .filter_map(|event| if let Event::AttemptEnded(ended) = event { Some(ended) } else { None });
        let class = tracked.task.as_deref().map(|task| ClassKey {
            workspace: Arc::clone(&key.workspace),
            instance_key: task.accepted.instance_key.as_str().into(),
        });
        let judged: Vec<_> = class.into_iter().cycle().zip(ended_attempts).collect();
        self.matching.observe(key, tracked.task.as_deref());
        self.schedules.observe_task(key, tracked.task.as_deref());
        self.watching.observe(key, tracked.task.as_deref());
        let mut calls = Vec::new();
        if let Some(lease) = &tracked.lease
            && !lease.watchers.is_empty()
            && tracked.renewal(&lease.attempt_id).is_urgent
        {
            calls.extend_from_slice(&lease.watchers);
        }
        if let Some(ended) = change.ended {
            self.desk.count_attempt(ended.worker_id, false);
            calls.extend(ended.watchers);
        }
        for (class, ended) in judged {
            self.judge_class(class, ended, now);
        }
        if let Some(worker_id) = change.began {
            self.desk.count_attempt(worker_id, true);
        }
        for call in calls {
            self.answer_renewal(call);
        }
        self.desk.has_news();
        self.follow_family(key);
        self.list_tool_call(key);
        self.review_after(key);
        self.tidy(key);
    }

    /// Sets the task's timer, fetches what was missed, and forgets a task that is over.
    fn tidy(&mut self, key: &Arc<StreamKey>) {
        let Some(tracked) = self.tasks.get_mut(key) else { return };
        if tracked.under_way > 0 {
            return;
        }
        if tracked.is_stale() && tracked.failures == 0 && tracked.retry.is_none() {
            let heard = tracked.heard;
            return self.load(key, heard);
        }
        let is_over = tracked.task.as_deref().is_none_or(Task::is_at_rest);
        if is_over && !tracked.is_stale() && tracked.retry.is_none() && !tracked.has_something_to_say() {
            self.tasks.remove(key);
            self.matching.hold(key, None);
            self.budgets.forget(key);
            self.offered.remove(key);
            return;
        }
        if let Some(due) = tracked.next_due()
            && tracked.rings_at.is_none_or(|rings_at| due < rings_at)
        {
            tracked.rings_at = Some(due);
            self.rings.push(Reverse((due, Arc::clone(&tracked.key))));
        }
    }
}

impl Tracked {
    /// What is known of the task is not what the log has.
    fn is_stale(&self) -> bool {
        self.is_doubtful || self.heard > self.version
    }

    fn fail(&mut self, now: DateTime<Utc>, is_retryable: bool) {
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(later(now, if is_retryable { backoff(self.failures) } else { PARKED_MS }));
    }
}

/// The task a stream holds; `None` for streams of other things.
pub fn task_key(stream: &StreamId) -> Option<StreamKey> {
    if stream.category() != TaskCodec::CATEGORY {
        return None;
    }
    Some(StreamKey::new(stream.workspace().as_str(), stream.id().parse().ok()?))
}
