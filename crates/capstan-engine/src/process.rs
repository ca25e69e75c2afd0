//! The pure part of the engine: events of the loop go in, effects come out as data.
//!
//! The process receives commits, requests, outcomes of effects and the time; [`Process::turn`] returns the effects. It
//! reads no clock and touches no network, so thousands of crashes can be simulated in a test.
//!
//! It only routes. Each part owns its state and follows the events that concern it: `classes`, `budgets`, `relations`,
//! `tool_execution`, `tool_polls`, `watching`, `schedules`, `leases`, `worker_requests`. They share the state in `shared`,
//! read `facts` about tasks and never the tasks themselves, and push effects.
//!
//! One task has at most one timer; a renewal only moves the deadline in memory, and a timer that fires early is set
//! again. Nothing here costs more than a logarithm per event, except that new work is offered to the waiting workers one
//! after another.

mod bodies;
mod budgets;
mod classes;
mod config;
mod effect;
mod facts;
mod leases;
mod origin;
mod outcome;
mod reduced;
mod relations;
mod retry;
mod reviews;
mod schedules;
mod shared;
mod tasks;
mod tool_call;
mod tool_execution;
mod tool_polls;
mod watching;
mod work;
mod worker_requests;
mod workers;
mod workspaces;

use std::sync::Arc;

use capstan_contract::{AgentCodec, TaskCodec, WorkspaceCodec};
use capstan_decider::fold;
use capstan_domain::id::{AgentId, WorkerId};
use capstan_domain::matching::{Depth, StreamKey};
use capstan_domain::task::{Command, Event, State, Task, TaskDecider};
use capstan_domain::{agent, class, schedule, workspace};
use capstan_envelope::{Carried, Codec as _, CodecError, Position, Recorded, StreamId};
use capstan_eventlog::Spent;
use chrono::{DateTime, Utc};
use uuid::Uuid;

pub use config::ProcessConfig;
pub use effect::{
    AgentCheck, CallId, ClassKey, ClassOrder, Effect, Order, ScheduleKey, TickOrder, ToolRequest,
};
pub use outcome::{ClassSettled, Loaded, ScheduleSettled, Settled, ToolAnswer};
pub use reduced::ReducedTask;

use crate::metric;
use crate::protocol::{Answer, Request};
use budgets::Budgets;
use classes::Classes;
use leases::Leases;
use relations::Relations;
use schedules::Schedules;
use shared::Shared;
use tool_execution::ToolExecution;
use tool_polls::ToolPolls;
use watching::Watching;
use worker_requests::WorkerRequests;

/// Everything the active engine keeps in memory.
#[derive(Debug)]
pub struct Process {
    shared: Shared,
    leases: Leases,
    classes: Classes,
    budgets: Budgets,
    relations: Relations,
    tool_execution: ToolExecution,
    tool_polls: ToolPolls,
    watching: Watching,
    schedules: Schedules,
    worker_requests: WorkerRequests,
}

/// The task a stream holds; `None` for streams of other categories.
pub fn task_key(stream: &StreamId) -> Option<StreamKey> {
    if stream.category() != TaskCodec::CATEGORY {
        return None;
    }
    Some(StreamKey::new(stream.workspace().as_str(), stream.id().parse().ok()?))
}

/// Snapshots: what a new leader begins with.
impl Process {
    /// An empty process.
    pub fn new(config: ProcessConfig, now: DateTime<Utc>) -> Self {
        Self {
            shared: Shared::new(config),
            leases: Leases::default(),
            classes: Classes::default(),
            budgets: Budgets::new(now),
            relations: Relations::default(),
            tool_execution: ToolExecution::default(),
            tool_polls: ToolPolls::default(),
            watching: Watching::default(),
            schedules: Schedules::default(),
            worker_requests: WorkerRequests::new(now),
        }
    }

    /// Takes a task as a snapshot has it, or a fold of the log's beginning; commits after it follow.
    pub fn begin_with(&mut self, key: &StreamKey, task: &ReducedTask, now: DateTime<Utc>) {
        self.replace(key, task.version, &task.state, &[], now);
        self.shared.tasks.follow(key, task.version);
    }

    /// Takes a commit of the past and the task as it was then. Its end is not counted: that was a leader's before.
    pub(crate) fn recall(
        &mut self,
        key: &StreamKey,
        position: Position,
        events: &[Event],
        task: &ReducedTask,
        now: DateTime<Utc>,
    ) {
        self.begin_with(key, task, now);
        self.budgets.book(key, position, events, &mut self.shared);
        self.watching.reach(position);
        self.tidy_touched();
    }

    /// Takes a commit of the past of a task that was at rest and let go of: it is loaded if it was set in motion again.
    pub(crate) fn recall_unknown(
        &mut self,
        key: &StreamKey,
        position: Position,
        version: u64,
        events: &[Event],
    ) {
        self.shared.tasks.hear(key, version);
        if events.iter().any(Event::sets_in_motion) {
            self.shared.load(key, version);
        }
        self.budgets.book(key, position, events, &mut self.shared);
        self.watching.reach(position);
        self.tidy_touched();
    }

    /// The number and version of a task in memory. The number is another's once the task is let go of.
    pub(crate) fn place(&self, key: &StreamKey) -> Option<(u32, u64)> {
        self.shared.tasks.place(key)
    }

    /// Begins to lead: every lease gets a full period from now, however long the beginning took.
    pub fn lead(&mut self, now: DateTime<Utc>) {
        self.leases.extend_all(&self.shared, now);
    }

    /// Takes a schedule as a snapshot has it; commits after it follow.
    pub fn begin_with_schedule(&mut self, key: ScheduleKey, version: u64, state: schedule::State) {
        self.schedules.replace(&Arc::new(key), version, state);
    }

    /// Takes a class as a snapshot has it; commits after it follow.
    pub fn begin_with_class(&mut self, key: &ClassKey, version: u64, state: class::State) {
        self.classes.replace(key, version, state, &mut self.shared);
    }

    /// Takes the ledger as the read models have it at `position`; reports after it follow with the log.
    pub fn begin_with_spending(&mut self, position: Position, spent: Vec<Spent>) {
        self.budgets.load(position, spent);
        self.tidy_touched();
    }

    /// Takes an agent as a snapshot has it.
    pub fn begin_with_agent(&mut self, workspace: &str, agent_id: AgentId, state: agent::State) {
        self.budgets.replace_agent((workspace.into(), agent_id), state);
        self.tidy_touched();
    }

    /// Takes a workspace as a snapshot has it.
    pub fn begin_with_workspace(&mut self, workspace: &str, state: workspace::State) {
        let workspace: Arc<str> = workspace.into();
        self.shared.workspaces.replace(Arc::clone(&workspace), state);
        self.budgets.set_day_limit(&workspace, &self.shared);
        self.tidy_touched();
    }
}

/// Events of the loop.
impl Process {
    /// Takes a commit from the log, with the task it belongs to as the caller has it in memory. Repeated and older commits
    /// change nothing; a task that nobody has in memory is loaded.
    pub fn commit(
        &mut self,
        recorded: &Recorded,
        memory: Option<(u64, &State)>,
        now: DateTime<Utc>,
    ) -> Result<(), CodecError> {
        let taken = self.route_commit(recorded, memory, now);
        self.watching.reach(recorded.position);
        self.tidy_touched();
        taken
    }

    fn route_commit(
        &mut self,
        recorded: &Recorded,
        memory: Option<(u64, &State)>,
        now: DateTime<Utc>,
    ) -> Result<(), CodecError> {
        if let Some(carried) = recorded.commit.carried()? {
            return self.carried(recorded, &carried, now);
        }
        let stream = &recorded.commit.stream;
        if let Some(key) = ScheduleKey::from_stream(stream) {
            return self.schedules.commit(key, recorded);
        }
        if let Some(key) = ClassKey::from_stream(stream) {
            return self.classes.commit(&key, recorded, &mut self.shared);
        }
        if let (AgentCodec::CATEGORY, Ok(agent_id)) = (stream.category(), stream.id().parse()) {
            self.schedules.agent_changed(recorded);
            return self.budgets.agent_commit(agent_id, recorded);
        }
        if stream.category() == WorkspaceCodec::CATEGORY {
            let workspace = self.shared.workspaces.commit(recorded)?;
            self.budgets.set_day_limit(&workspace, &self.shared);
            return Ok(());
        }
        let Some(key) = task_key(stream) else { return Ok(()) };
        let events = TaskCodec::decode(&recorded.commit)?;
        self.task_commit(&key, (recorded.commit.version, &events), memory, now);
        self.budgets.book(&key, recorded.position, &events, &mut self.shared);
        Ok(())
    }

    /// Takes a commit that carries its stream forward: the state as it is, for an engine that began behind its beginning.
    fn carried(
        &mut self,
        recorded: &Recorded,
        carried: &Carried,
        now: DateTime<Utc>,
    ) -> Result<(), CodecError> {
        let (stream, version) = (&recorded.commit.stream, recorded.commit.version);
        if let Some(key) = ScheduleKey::from_stream(stream) {
            self.begin_with_schedule(key, version, carried.state()?);
        } else if let Some(key) = ClassKey::from_stream(stream) {
            self.begin_with_class(&key, version, carried.state()?);
        } else if let (AgentCodec::CATEGORY, Ok(agent_id)) = (stream.category(), stream.id().parse()) {
            self.begin_with_agent(stream.workspace().as_str(), agent_id, carried.state()?);
        } else if stream.category() == WorkspaceCodec::CATEGORY {
            self.begin_with_workspace(stream.workspace().as_str(), carried.state()?);
        } else if let Some(key) = task_key(stream) {
            let state = carried.state()?;
            self.task_commit(&key, (version, &[]), Some((version, &state)), now);
        }
        Ok(())
    }

    /// Takes a commit of a task: its state comes from memory, from the events that begin it, or from a load.
    fn task_commit(
        &mut self,
        key: &StreamKey,
        (version, events): (u64, &[Event]),
        memory: Option<(u64, &State)>,
        now: DateTime<Utc>,
    ) {
        let known = self.shared.tasks.hear(key, version);
        let begun = (version == 1 && known == 0).then(|| fold::<TaskDecider>(None, events));
        let begun = begun.as_ref().map(|state| (1, state));
        let newer = memory.filter(|(at, _)| *at >= version).or(begun).filter(|(at, _)| *at > known);
        if let Some((at, state)) = newer {
            self.replace_from(key, (at, state), (version, events), now);
        } else {
            self.follow(key, version, events, now);
            if version > known {
                self.shared.load(key, version);
            }
        }
    }

    /// Takes a request; the answer comes as an effect, now or later. `fresh` becomes the id of a new worker.
    pub fn request(&mut self, call: CallId, request: Request, fresh: Uuid, now: DateTime<Utc>) {
        let shared = &mut self.shared;
        match request {
            Request::Register { worker, reach } => {
                WorkerRequests::register(call, worker, reach, WorkerId(fresh), shared, now);
            }
            Request::Lease { worker_id, reach, .. }
            | Request::Drain { worker_id, reach }
            | Request::ClaimToolCall { worker_id, reach, .. }
                if !shared.workers.is_reached(worker_id, &reach) =>
            {
                shared.answer(call, Answer::UnknownWorker);
            }
            Request::Lease { worker_id, max, wait_ms, .. } => {
                self.worker_requests.poll(call, (worker_id, max), wait_ms, shared, now);
            }
            Request::EndPolls { worker_id } => {
                self.worker_requests.end_polls(worker_id, shared);
                shared.answer(call, Answer::PollsEnded);
            }
            Request::Renew { worker_id, renewals, wait_ms, reach } => {
                self.leases.renew(call, (worker_id, &reach), &renewals, wait_ms, shared, now);
            }
            Request::Drain { worker_id, .. } => self.worker_requests.drain(call, worker_id, shared, now),
            Request::Why { workspace, task_id } => {
                let reasons = shared.matching.why(&StreamKey::new(&workspace, task_id), now);
                shared.answer(call, Answer::Why(reasons));
            }
            Request::ClaimToolCall { worker_id, wait_ms, .. } => {
                self.tool_polls.poll(call, worker_id, wait_ms, shared, now);
            }
            Request::Watchers(keys) => self.watching.ask(call, keys, now),
            Request::Workers => {
                let views = shared.workers.views(now, shared.config.lease_ms);
                shared.answer(call, Answer::Workers(views));
            }
        }
    }

    /// Takes the outcome of an order.
    pub fn settled(&mut self, order: &Order, outcome: &Settled, now: DateTime<Utc>) {
        match &order.follow_up {
            Some((owner, follow_up)) => {
                let relative = (owner, follow_up);
                self.relations.settled(relative, &order.key, outcome, &mut self.shared, now);
                if let (Settled::Decided { version, state, events }, effect::FollowUp::CreateChild(_)) =
                    (outcome, follow_up)
                {
                    self.replace(&order.key, *version, state, events, now);
                }
            }
            None => self.order_settled(order, outcome, now),
        }
        self.tidy_touched();
    }

    fn order_settled(&mut self, order: &Order, outcome: &Settled, now: DateTime<Utc>) {
        let Some(tracked) = self.shared.tasks.get_mut(&order.key) else { return };
        tracked.work_mut().end();
        if order.is_about_tools() {
            self.tool_settled(order, outcome, now);
        }
        let is_warning = matches!(order.command.command, Command::WarnBudget(_));
        if is_warning && !matches!(outcome, Settled::Failed { .. }) {
            self.budgets.warning_settled(&order.key);
        }
        let Some(tracked) = self.shared.tasks.get_mut(&order.key) else { return };
        tracked.settled(order, outcome, is_warning, now);
        self.shared.tasks.touch(&order.key);
        let mut attempt = None;
        match outcome {
            Settled::Decided { version, state, events } => {
                attempt = state.as_deref().and_then(|task| bodies::leased_attempt(order, task));
                self.replace(&order.key, *version, state, events, now);
            }
            Settled::Failed { .. } if order.is_lease() => self.worker_requests.pause(now),
            Settled::Failed { .. } | Settled::Refused => {}
        }
        if order.is_lease() {
            self.worker_requests.lease_settled(order, attempt, &mut self.shared, now);
        }
    }

    fn tool_settled(&mut self, order: &Order, outcome: &Settled, now: DateTime<Utc>) {
        let shared = &mut self.shared;
        let Command::StartToolCall(start) = &order.command.command else {
            return self.tool_execution.settled(order, outcome, None, shared);
        };
        let claimed = bodies::claimed_call(order, start, outcome);
        match start.worker_id {
            None => self.tool_execution.settled(order, outcome, claimed.as_ref(), shared),
            Some(_) => self.tool_polls.settled(order.request, claimed, shared, now),
        }
    }

    /// Takes the outcome of a load.
    pub fn loaded(&mut self, key: &StreamKey, outcome: &Loaded, now: DateTime<Utc>) {
        let Some(tracked) = self.shared.tasks.get_mut(key) else { return };
        let refused = tracked.loaded(outcome, now);
        let is_leasing = tracked.is_leasing();
        if let Loaded::State { version, state } = outcome {
            if let (Some(order), Some(task)) = (&refused, state.as_deref())
                && let Command::Lease(lease) = &order.command.command
                && let Some(attempt) = bodies::leased_attempt(order, task)
            {
                worker_requests::owe(lease.worker_id, attempt, &mut self.shared);
            }
            self.replace(key, *version, state, &[], now);
            match state.as_deref() {
                None => self.relations.missing(key, &mut self.shared),
                Some(task) => self.step(key, task, now),
            }
            if !is_leasing {
                // The pick that led here was refused, and the state in the queue is the one that refused it.
                self.shared.matching.unreserve(key);
                self.shared.may_match = true;
            }
        }
        self.shared.tasks.touch(key);
        self.tidy_touched();
    }

    /// Takes the next step about the task's relations while the whole task is here, unless it waits for something else.
    fn step(&mut self, key: &StreamKey, task: &Task, now: DateTime<Utc>) {
        let Some(tracked) = self.shared.tasks.get(key) else { return };
        if tracked.is_idle() && !tracked.is_stale() && !tracked.has_retry() && tracked.after_pause(now) <= now
        {
            self.relations.turn(key, Some(task), &mut self.shared, now);
        }
    }

    /// Takes the outcome of an order to a schedule, or of a load of one. `tick`: the tick that was ordered.
    pub fn schedule_settled(
        &mut self,
        key: &Arc<ScheduleKey>,
        tick: Option<DateTime<Utc>>,
        outcome: ScheduleSettled,
        now: DateTime<Utc>,
    ) {
        self.schedules.settled(key, tick, outcome, now);
    }

    /// Takes the outcome of a command to a class.
    pub fn class_settled(&mut self, order: &ClassOrder, outcome: ClassSettled, now: DateTime<Utc>) {
        self.classes.settled(order, outcome, &mut self.shared, now);
    }

    /// Takes the outcome of a call to an endpoint.
    pub fn tool_called(&mut self, request: &ToolRequest, answer: ToolAnswer, now: DateTime<Utc>) {
        self.tool_execution.called(request, answer, &mut self.shared, now);
        self.tidy_touched();
    }

    /// Lets time pass: fires what is due, ends polls, matches work with workers. Returns the effects since the last turn.
    /// Of the timers that are due at most `timers_max` fire, the others in later turns: a million at once must not keep
    /// requests waiting.
    pub fn turn(&mut self, timers_max: usize, now: DateTime<Utc>) -> Vec<Effect> {
        self.budgets.turn(&mut self.shared, now);
        self.tidy_touched();
        for _ in 0..timers_max {
            let Some(key) = self.shared.tasks.pop_due(now) else { break };
            self.fire(&key, now);
        }
        self.shared.effects.extend(self.schedules.turn(timers_max, now));
        self.shared.effects.extend(self.watching.turn(&self.shared.tasks, now));
        self.shared.effects.extend(self.classes.turn(now));
        self.tool_polls.turn(&mut self.shared, now);
        self.worker_requests.turn(&mut self.shared, now);
        self.leases.turn(&mut self.shared, now);
        std::mem::take(&mut self.shared.effects)
    }

    /// The instant at which [`Process::turn`] should be called although nothing happened, for the timers of tasks and
    /// schedules or anything else.
    pub fn next_due(&self) -> DateTime<Utc> {
        let timers = [self.shared.tasks.next_due(), self.schedules.next_due()];
        timers.into_iter().flatten().fold(self.next_due_without_timers(), DateTime::min)
    }

    /// The same while timers are not to fire.
    pub fn next_due_without_timers(&self) -> DateTime<Utc> {
        let dues = [
            self.watching.next_due(),
            self.classes.next_due(),
            self.budgets.next_due(),
            self.tool_polls.next_due(),
            self.leases.next_due(),
        ];
        dues.into_iter().flatten().fold(self.worker_requests.next_due(), DateTime::min)
    }

    /// True while tasks are to be judged whose shared budgets changed; further turns do so.
    pub(crate) fn is_reviewing(&self) -> bool {
        self.budgets.is_reviewing()
    }

    /// Counts for metrics.
    pub fn depth(&self) -> Depth {
        self.shared.matching.depth()
    }

    /// The number of tasks in memory.
    pub fn tracked(&self) -> usize {
        self.shared.tasks.len()
    }
}

/// Routing of one task's changes and timers.
impl Process {
    /// Takes the newer state of a task, to which `events` led, and lets every part follow.
    fn replace(
        &mut self,
        key: &StreamKey,
        version: u64,
        state: &State,
        events: &[Event],
        now: DateTime<Utc>,
    ) {
        self.replace_from(key, (version, state), (version, events), now);
    }

    /// As [`Self::replace`], when the state may be that of a later commit than the events.
    fn replace_from(
        &mut self,
        key: &StreamKey,
        (version, state): (u64, &State),
        (followed, events): (u64, &[Event]),
        now: DateTime<Utc>,
    ) {
        if !self.shared.replace(key, version, state, !events.is_empty()) {
            return;
        }
        let facts = self.shared.tasks.facts(key);
        self.schedules.observe_task(key, facts);
        self.watching.observe(key, facts);
        self.tool_polls.observe(key, facts);
        if !events.is_empty() {
            self.follow(key, followed, events, now);
        }
        self.leases.observe(key, &mut self.shared, now);
        self.relations.observe(key, &mut self.shared);
        self.budgets.observe(key, &mut self.shared);
        self.shared.tasks.touch(key);
        self.tidy_touched();
    }

    /// Lets the parts follow the events of a commit that need more than the state it led to.
    fn follow(&mut self, key: &StreamKey, version: u64, events: &[Event], now: DateTime<Utc>) {
        if !self.shared.tasks.follow(key, version) {
            return;
        }
        self.leases.follow(key, events, &mut self.shared);
        let Some(facts) = self.shared.tasks.facts(key) else { return };
        let instance_key = Arc::clone(&facts.origin.class);
        let class = ClassKey { workspace: Arc::clone(&key.workspace), instance_key };
        for event in events {
            if let Event::AttemptEnded(ended) = event {
                self.classes.attempt_ended(&class, ended, &mut self.shared, now);
            }
        }
    }

    /// Sends what is due for a task whose timer fires.
    fn fire(&mut self, key: &StreamKey, now: DateTime<Utc>) {
        let is_due = self.task_due(key).is_some_and(|due| due <= now);
        let Some(tracked) = self.shared.tasks.get_mut(key) else { return };
        if !is_due || !tracked.is_idle() {
            // Set again now, or by the outcome of what is under way.
            return self.tidy(key);
        }
        if tracked.has_retry()
            && let Some(order) = tracked.work_mut().begin_retry()
        {
            self.shared.effects.push(Effect::Execute(order));
            return;
        }
        if tracked.is_stale() {
            let heard = tracked.heard();
            return self.shared.load(key, heard);
        }
        if self.relations.turn(key, None, &mut self.shared, now) {
            return;
        }
        let Some(command) = self.due_command(key, now) else { return };
        if matches!(command, Command::ExpireLease(_)) {
            metrics::counter!(metric::LEASE_EXPIRIES).increment(1);
            // What it loses must not go straight back to a worker that has fallen silent.
            let live = self.shared.tasks.facts(key).and_then(|facts| facts.live.as_ref());
            if let Some(silent) = live.map(|live| *live.worker_id) {
                self.worker_requests.end_polls(silent, &mut self.shared);
            }
        }
        self.shared.order(key, command, None, now);
    }

    /// The instant at which something is due for the task.
    fn task_due(&self, key: &StreamKey) -> Option<DateTime<Utc>> {
        const AT_ONCE: DateTime<Utc> = DateTime::<Utc>::MIN_UTC;
        let tracked = self.shared.tasks.get(key)?;
        if tracked.has_retry() || tracked.is_stale() {
            return Some(tracked.after_pause(AT_ONCE));
        }
        let facts = tracked.facts()?;
        if self.relations.is_due(key, facts) {
            return Some(tracked.after_pause(AT_ONCE));
        }
        let dues = [
            facts.timer.as_ref().map(|timer| timer.due),
            self.leases.due(self.shared.tasks.name(key)?, facts),
            self.budgets.due_command(key, facts, 0).map(|_| AT_ONCE),
            self.tool_execution.due(key, facts),
        ];
        dues.into_iter().flatten().min().map(|due| tracked.after_pause(due))
    }

    /// The command that is due for the task: of several, the timer's comes first.
    fn due_command(&self, key: &StreamKey, now: DateTime<Utc>) -> Option<Command> {
        let facts = self.shared.tasks.facts(key)?;
        let grace_ms = self.shared.config.grace_ms;
        if let Some(timer) = facts.timer.as_ref().filter(|timer| timer.due <= now) {
            return Some(timer.command(facts.newest_attempt(key), grace_ms));
        }
        let settings = self.shared.workspaces.settings(&key.workspace);
        self.budgets
            .due_command(key, facts, grace_ms)
            .or_else(|| self.tool_execution.due_command(key, facts, settings, now))
            .or_else(|| self.leases.due_command((self.shared.tasks.name(key)?, key), facts, now))
    }

    fn tidy_touched(&mut self) {
        while let Some(key) = self.shared.tasks.next_touched() {
            self.tidy(&key);
        }
    }

    /// Sets the task's timer, loads what was missed, and forgets a task that is over.
    fn tidy(&mut self, key: &StreamKey) {
        let Some(tracked) = self.shared.tasks.get_mut(key).filter(|tracked| tracked.is_idle()) else {
            return;
        };
        tracked.tidy();
        if tracked.wants_load() {
            let heard = tracked.heard();
            return self.shared.load(key, heard);
        }
        let is_over = tracked.facts().is_none_or(|facts| facts.is_at_rest)
            && !tracked.is_stale()
            && !tracked.has_retry()
            && !self.budgets.has_warning(key)
            && !self.tool_execution.is_working(key);
        if is_over {
            return self.forget(key);
        }
        if let Some(due) = self.task_due(key) {
            self.shared.tasks.set_timer(key, due);
        }
    }

    fn forget(&mut self, key: &StreamKey) {
        self.shared.tasks.forget(key);
        self.shared.matching.hold(key, None);
        self.budgets.forget(key);
        self.relations.forget(key);
        self.tool_execution.forget(key);
        self.tool_polls.forget(key);
    }
}
