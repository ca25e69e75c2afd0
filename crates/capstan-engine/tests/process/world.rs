//! A log in a list, and an engine fed by hand.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use capstan_contract::command::{RegisterWorker, Renewal};
use capstan_contract::lease::{LeasedAttempt, RenewAnswer};
use capstan_contract::{ClassCodec, TaskCodec};
use capstan_decider::{Decider, fold};
use capstan_domain::agent;
use capstan_domain::class::{self, Class};
use capstan_domain::id::{AgentId, AttemptId, InputId, TaskId, WorkerId};
use capstan_domain::matching::{self, Reach, StreamKey};
use capstan_domain::policy::{RetryPolicy, RunPolicy};
use capstan_domain::task::command::{
    Accept, Cancel, FanOut, Finish, OpenBlocker, Parent, Start, SubmitInput, SubtaskSpec, WakePlan,
};
use capstan_domain::task::event::{AttemptOutcome, InputSource, Join, ParentClose};
use capstan_domain::task::{Command, Event, Rejection, State, Task, TaskDecider, TaskState};
use capstan_engine::process::{
    CallId, ClassKey, ClassOrder, ClassSettled, Effect, Loaded, Order, Process, ProcessConfig, Settled,
    ToolRequest, class_key,
};
use capstan_engine::protocol::{Answer, Request};
use capstan_envelope::{
    Actor, Codec, Commit, CommitHash, CommitId, EventRecord, Metadata, Position, Recorded, StreamId,
    Workspace,
};
use capstan_eventlog::Spent;
use chrono::{DateTime, Duration, Utc};
use serde_json::Map;
use uuid::Uuid;

pub(crate) const LEASE_MS: i64 = 30_000;
pub(crate) const GRACE_MS: i64 = 10_000;

pub(crate) fn config() -> ProcessConfig {
    ProcessConfig {
        lease_ms: LEASE_MS,
        renew_every_ms: 10_000,
        grace_ms: GRACE_MS,
        matching: matching::Config { class_limit: 10_000, ..matching::Config::default() },
    }
}

/// What is true, whatever an engine believes.
pub(crate) struct World {
    pub(crate) log: Vec<Recorded>,
    pub(crate) tasks: BTreeMap<StreamKey, (u64, State)>,
    /// Settings of workspaces and budgets of agents, by stream.
    pub(crate) owners: BTreeMap<String, u64>,
    /// The classes, by workspace and key.
    pub(crate) classes: BTreeMap<(String, String), (u64, class::State)>,
    stored: HashSet<Uuid>,
    pub(crate) leases: Vec<AttemptId>,
}

/// What became of a command.
pub(crate) type Sent = Result<Vec<Event>, Rejection>;

impl World {
    pub(crate) fn new() -> Self {
        Self {
            log: Vec::new(),
            tasks: BTreeMap::new(),
            owners: BTreeMap::new(),
            classes: BTreeMap::new(),
            stored: HashSet::new(),
            leases: Vec::new(),
        }
    }

    pub(crate) fn task(&self, key: &StreamKey) -> &Task {
        self.tasks[key].1.as_deref().unwrap()
    }

    pub(crate) fn version(&self, key: &StreamKey) -> u64 {
        self.tasks.get(key).map_or(0, |(version, _)| *version)
    }

    pub(crate) fn state(&self, key: &StreamKey) -> TaskState {
        self.task(key).state
    }

    /// Decides and records, as a dispatcher does; checks what must hold after every commit.
    pub(crate) fn send(&mut self, key: &StreamKey, id: Uuid, command: &Command) -> Sent {
        let (version, state) = self.tasks.entry(key.clone()).or_default();
        if self.stored.contains(&id) {
            return Ok(Vec::new());
        }
        let decided = TaskDecider::decide(state, command);
        if state.is_none() && decided.is_err() {
            // Looking at what does not exist does not make it.
            self.tasks.remove(key);
            return decided;
        }
        let events = decided?;
        if events.is_empty() {
            return Ok(events);
        }
        *state = fold::<TaskDecider>(state.take(), &events);
        *version += 1;
        let version = *version;
        self.stored.insert(id);
        let stream = format!("{}/task/{}", key.workspace, key.task_id);
        let records = events.iter().map(|event| TaskCodec::encode(event).unwrap()).collect();
        self.record(&stream, version, id, records);
        for event in &events {
            if let Event::AttemptLeased(leased) = event {
                assert!(!self.leases.contains(&leased.attempt_id), "{} was leased twice", leased.attempt_id);
                self.leases.push(leased.attempt_id.clone());
                self.check_sessions();
            }
        }
        let task = self.task(key);
        assert!(task.state.is_terminal() || task.owner().is_some(), "{key:?} has no owner: {task:?}");
        Ok(events)
    }

    /// Records what somebody else has decided about a task.
    pub(crate) fn append(&mut self, key: &StreamKey, id: Uuid, events: &[Event]) {
        let (version, state) = self.tasks.entry(key.clone()).or_default();
        *state = fold::<TaskDecider>(state.take(), events);
        *version += 1;
        let (version, stream) = (*version, format!("{}/task/{}", key.workspace, key.task_id));
        let records = events.iter().map(|event| TaskCodec::encode(event).unwrap()).collect();
        self.record(&stream, version, id, records);
    }

    /// Records facts about a workspace or an agent.
    pub(crate) fn tell(&mut self, stream: &str, id: Uuid, events: Vec<EventRecord>) {
        let version = self.owners.entry(stream.to_owned()).or_default();
        *version += 1;
        let version = *version;
        self.record(stream, version, id, events);
    }

    /// As [`World::send`], to a class.
    pub(crate) fn send_to_class(&mut self, order: &ClassOrder) -> ClassSettled {
        let name = (order.key.workspace.to_string(), order.key.instance_key.to_string());
        self.change_class(&name, order.command_id, &order.command);
        let (version, state) = self.classes[&name].clone();
        ClassSettled::Decided { version, state }
    }

    pub(crate) fn change_class(&mut self, name: &(String, String), id: Uuid, command: &class::Command) {
        let (version, state) = self.classes.entry(name.clone()).or_default();
        let events = Class::decide(state, command).unwrap();
        if events.is_empty() || !self.stored.insert(id) {
            return;
        }
        *state = fold::<Class>(state.clone(), &events);
        *version += 1;
        let version = *version;
        let records = events.iter().map(|event| ClassCodec::encode(event).unwrap()).collect();
        self.record(&format!("{}/class/{}", name.0, name.1), version, id, records);
    }

    fn record(&mut self, stream: &str, version: u64, id: Uuid, events: Vec<EventRecord>) {
        let stream = stream.parse().unwrap();
        let position = Position::new(self.log.len() as u64 + 1);
        self.log.push(Recorded { position, ..recorded(stream, version, id, events) });
    }

    /// Never two live attempts of a session, one that is being cancelled included.
    fn check_sessions(&self) {
        let mut holders = HashMap::new();
        for (key, (_, state)) in &self.tasks {
            let Some(task) = state.as_deref().filter(|task| task.live.is_some()) else { continue };
            let session = (key.workspace.clone(), task.accepted.session_id.clone());
            if let Some(other) = holders.insert(session, key) {
                panic!("{key:?} and {other:?} of one session live at once");
            }
        }
    }
}

pub(crate) fn stream(workspace: &str, category: &str, id: &str) -> StreamId {
    StreamId::new(Workspace::new(workspace).unwrap(), category, id).unwrap()
}

/// A commit as the log hands it out, links aside.
pub(crate) fn recorded(stream: StreamId, version: u64, id: Uuid, events: Vec<EventRecord>) -> Recorded {
    let commit = Commit {
        commit_id: CommitId(id),
        stream,
        version,
        previous: Position::START,
        previous_hash: CommitHash::NONE,
        metadata: Metadata {
            occurred_at: start(),
            actor: Actor::System,
            command: "test".into(),
            correlation_id: id,
            causation_id: None,
            traceparent: None,
            idempotency: None,
        },
        events,
    };
    Recorded { position: Position::new(version), recorded_at: start(), hash: CommitHash::NONE, commit }
}

pub(crate) fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap()
}

/// How a task is born.
#[derive(Clone, Debug)]
pub(crate) struct Birth {
    pub(crate) session: String,
    pub(crate) message: String,
    pub(crate) priority: &'static str,
    pub(crate) max_attempts: i64,
    pub(crate) timeout_ms: Option<i64>,
    pub(crate) queue_ttl_ms: Option<i64>,
    pub(crate) delay_ms: Option<i64>,
    pub(crate) deadline_ms: Option<i64>,
    pub(crate) budget_usd: Option<f64>,
    pub(crate) parent: Option<TaskId>,
    pub(crate) parent_close: ParentClose,
}

impl Default for Birth {
    fn default() -> Self {
        Self {
            session: "s".into(),
            message: "do it".into(),
            priority: "normal",
            max_attempts: 2,
            timeout_ms: None,
            queue_ttl_ms: None,
            delay_ms: None,
            deadline_ms: None,
            budget_usd: None,
            parent: None,
            parent_close: ParentClose::default(),
        }
    }
}

pub(crate) fn accept(birth: &Birth, key: &StreamKey, at: DateTime<Utc>) -> Command {
    let retry = RetryPolicy { max_attempts: birth.max_attempts, ..RetryPolicy::default() };
    let workspace = key.workspace.to_string();
    Command::Accept(Box::new(Accept {
        session_id: birth.session.clone(),
        policy: Some(RunPolicy { retry, ..RunPolicy::default() }),
        timeout_ms: birth.timeout_ms,
        priority: Some(birth.priority.into()),
        parent: birth.parent.map(|task_id| Parent {
            task_id,
            root_task_id: task_id,
            depth: 0,
            is_open: true,
        }),
        parent_close: birth.parent_close,
        dispatch_delay_ms: birth.delay_ms,
        deadline: birth.deadline_ms.map(|ms| at + Duration::milliseconds(ms)),
        queue_ttl_ms: birth.queue_ttl_ms,
        budget_usd: birth.budget_usd,
        watches: Vec::new(),
        message_bytes_max: 1_000_000,
        ..Accept::new(key.task_id, demo(&workspace, at), birth.message.clone(), at)
    }))
}

/// The agent everybody speaks to.
pub(crate) fn demo(workspace: &str, at: DateTime<Utc>) -> agent::Created {
    agent::Created {
        agent_id: AgentId::of_key(workspace, "demo"),
        workspace: workspace.into(),
        agent_key: "demo".into(),
        name: "Demo".into(),
        role: "generalist".into(),
        memory_scope: "workspace".into(),
        quality_score: None,
        cost_budget_usd: None,
        config: Map::new(),
        active: true,
        created_at: at,
    }
}

pub(crate) fn begin(attempt_id: &AttemptId, at: DateTime<Utc>) -> Command {
    Command::Start(Start { attempt_id: attempt_id.clone(), at })
}

pub(crate) fn finish(attempt_id: &AttemptId, outcome: AttemptOutcome, at: DateTime<Utc>) -> Finish {
    Finish {
        attempt_id: attempt_id.clone(),
        outcome,
        exit_code: None,
        error: None,
        error_class: None,
        retry_after_ms: None,
        usage: None,
        waiting_for_input: false,
        blocker: None,
        wake: None,
        fan_out: capstan_domain::task::command::FanOut::default(),
        result: None,
        at,
    }
}

pub(crate) fn finish_with_wake(attempt_id: &AttemptId, at: DateTime<Utc>) -> Finish {
    let wake = WakePlan { delay_minutes: Some(3), ..WakePlan::default() };
    Finish { wake: Some(wake), ..finish(attempt_id, AttemptOutcome::Ok, at) }
}

/// An end that asks for so many children.
pub(crate) fn finish_with_children(
    attempt_id: &AttemptId,
    children: usize,
    join: Join,
    at: DateTime<Utc>,
) -> Command {
    let spec = |number| SubtaskSpec { prompt: format!("part {number}"), ..SubtaskSpec::default() };
    let subtasks = (0..children).map(spec).collect();
    let fan_out = FanOut { subtasks, join: Some(join), watches: None };
    Command::Finish(Box::new(Finish { fan_out, ..finish(attempt_id, AttemptOutcome::Ok, at) }))
}

pub(crate) fn question(attempt_id: &AttemptId, at: DateTime<Utc>) -> Command {
    let blocker =
        capstan_domain::task::command::BlockerSpec { summary: "which one?".into(), ..Default::default() };
    Command::OpenBlocker(OpenBlocker { attempt_id: attempt_id.clone(), blocker, at })
}

pub(crate) fn input(id: u128, at: DateTime<Utc>) -> Command {
    let input_id = InputId(Uuid::from_u128(id));
    Command::SubmitInput(SubmitInput::text(input_id, InputSource::Caller, "the first".into(), at))
}

pub(crate) fn cancel(at: DateTime<Utc>) -> Command {
    Command::Cancel(Cancel { reason: Some("no longer needed".into()), grace_ms: GRACE_MS, at })
}

/// An engine whose effects are carried out at once, and a clock that is moved by hand.
pub(crate) struct Bench {
    pub(crate) world: World,
    pub(crate) process: Process,
    pub(crate) now: DateTime<Utc>,
    pub(crate) answers: HashMap<CallId, Answer>,
    /// When set, every order fails so instead of being carried out.
    pub(crate) failing: bool,
    /// Calls of endpoints under way.
    pub(crate) calls: Vec<ToolRequest>,
    seen: usize,
    ids: u128,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self {
            world: World::new(),
            process: Process::new(config(), start()),
            now: start(),
            answers: HashMap::new(),
            failing: false,
            calls: Vec::new(),
            seen: 0,
            ids: 0,
        }
    }

    pub(crate) fn fresh(&mut self) -> Uuid {
        self.ids += 1;
        Uuid::from_u128(self.ids)
    }

    /// Somebody outside sends a command.
    pub(crate) fn send(&mut self, key: &StreamKey, command: &Command) -> Vec<Event> {
        let id = self.fresh();
        let events = self.world.send(key, id, command).unwrap();
        self.settle();
        events
    }

    pub(crate) fn accept(&mut self, birth: &Birth) -> StreamKey {
        let key = StreamKey::new("dev", TaskId(self.fresh()));
        let command = accept(birth, &key, self.now);
        self.send(&key, &command);
        key
    }

    pub(crate) fn settle(&mut self) {
        loop {
            for recorded in &self.world.log[self.seen..] {
                self.process.commit(recorded, self.now).unwrap();
            }
            self.seen = self.world.log.len();
            let effects = self.process.turn(self.now);
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                match effect {
                    Effect::Answer(call, answer) => {
                        assert!(self.answers.insert(call, answer).is_none(), "{call:?} was answered twice");
                    }
                    Effect::Execute(order) if self.failing => {
                        let failed = Settled::Failed { is_retryable: true };
                        self.process.settled(&order, failed, self.now);
                    }
                    Effect::Execute(order) => {
                        let settled = carry_out(&mut self.world, &order);
                        self.process.settled(&order, settled, self.now);
                    }
                    Effect::OrderClass(order) => {
                        let settled = self.world.send_to_class(&order);
                        self.process.class_settled(&order, settled, self.now);
                    }
                    Effect::CallTool(request) => self.calls.push(*request),
                    Effect::Load(key) => {
                        let loaded = look(&self.world, &key);
                        self.process.loaded(&key, loaded, self.now);
                    }
                    Effect::Tick(_) | Effect::CheckAgent(_) | Effect::LoadSchedule(_) => {
                        panic!("this world has no schedules")
                    }
                }
            }
        }
    }

    /// Lets time pass, ringing everything on the way.
    pub(crate) fn pass_ms(&mut self, ms: i64) {
        let until = self.now + Duration::milliseconds(ms);
        while self.now < until {
            self.now = self.process.next_due().max(self.now + Duration::milliseconds(1)).min(until);
            self.settle();
        }
    }

    pub(crate) fn ask(&mut self, request: Request) -> CallId {
        let fresh = self.fresh();
        let call = CallId(fresh.as_u128() as u64);
        self.process.ask(call, request, fresh, self.now);
        self.settle();
        call
    }

    pub(crate) fn worker(&mut self) -> WorkerId {
        self.worker_within(Reach::All)
    }

    pub(crate) fn worker_within(&mut self, reach: Reach) -> WorkerId {
        let worker = RegisterWorker { name: "w".into(), slots: 4, ..RegisterWorker::default() };
        let call = self.ask(Request::Register { worker, reach });
        match self.answers.remove(&call) {
            Some(Answer::Registered(registered)) => registered.worker_id,
            other => panic!("not registered but {other:?}"),
        }
    }

    pub(crate) fn lease(&mut self, worker_id: WorkerId, max: u32, wait_ms: u64) -> CallId {
        self.ask(Request::Lease { worker_id, max, wait_ms, reach: Reach::All })
    }

    /// The attempts a call was answered with; panics when it was not answered yet.
    pub(crate) fn leased(&mut self, call: CallId) -> Vec<LeasedAttempt> {
        match self.answers.remove(&call) {
            Some(answer) => attempts(&answer),
            None => panic!("{call:?} is not answered"),
        }
    }

    pub(crate) fn lease_now(&mut self, worker_id: WorkerId, max: u32) -> Vec<LeasedAttempt> {
        let call = self.lease(worker_id, max, 0);
        self.leased(call)
    }

    pub(crate) fn renew(&mut self, worker_id: WorkerId, attempts: &[&AttemptId], wait_ms: u64) -> CallId {
        let renewals =
            attempts.iter().map(|id| Renewal { attempt_id: (*id).clone(), epoch: id.epoch }).collect();
        self.ask(Request::Renew { worker_id, renewals, wait_ms, reach: Reach::All })
    }

    pub(crate) fn renewed(&mut self, call: CallId) -> Vec<RenewAnswer> {
        match self.answers.remove(&call) {
            Some(Answer::Renewed(answers)) => answers,
            other => panic!("not renewed but {other:?}"),
        }
    }

    pub(crate) fn is_answered(&self, call: CallId) -> bool {
        self.answers.contains_key(&call)
    }

    /// Another engine takes over from what a read model `lag` commits behind would say, and does the orders that were left.
    pub(crate) fn fail_over(&mut self, lag: usize) {
        for effect in self.succeed(lag) {
            let Effect::Execute(order) = effect else { panic!("nothing else is due: {effect:?}") };
            let settled = carry_out(&mut self.world, &order);
            self.process.settled(&order, settled, self.now);
        }
        self.settle();
    }

    /// Another engine takes over, and does what is due.
    pub(crate) fn take_over(&mut self) {
        for effect in self.succeed(0) {
            if let Effect::Execute(order) = effect {
                let settled = carry_out(&mut self.world, &order);
                self.process.settled(&order, settled, self.now);
            }
        }
        self.settle();
    }

    fn succeed(&mut self, lag: usize) -> Vec<Effect> {
        let (process, waiting) = successor(&self.world, lag, self.now);
        self.process = process;
        self.calls.clear();
        self.seen = self.world.log.len();
        self.answers.clear();
        waiting
    }
}

pub(crate) fn attempts(answer: &Answer) -> Vec<LeasedAttempt> {
    match answer {
        Answer::Leased(attempts) => {
            attempts.iter().map(|text| serde_json::from_str(text.get()).unwrap()).collect()
        }
        other => panic!("not leased but {other:?}"),
    }
}

pub(crate) fn carry_out(world: &mut World, order: &Order) -> Settled {
    if order.expected_version.is_some_and(|expected| expected != world.version(&order.key)) {
        return Settled::Refused;
    }
    match world.send(&order.key, order.command_id, &order.command) {
        Ok(events) => {
            let (version, state) = world.tasks.get(&*order.key).cloned().unwrap_or_default();
            Settled::Decided { version, state, events }
        }
        Err(_) => Settled::Refused,
    }
}

pub(crate) fn look(world: &World, key: &Arc<StreamKey>) -> Loaded {
    let (version, state) = world.tasks.get(&**key).cloned().unwrap_or_default();
    Loaded::State { version, state }
}

/// A new engine: the open tasks as they were some commits ago, then every commit since.
/// What it wants besides loads comes with it.
pub(crate) fn successor(world: &World, lag: usize, now: DateTime<Utc>) -> (Process, Vec<Effect>) {
    let mut process = Process::new(config(), now);
    let known = world.log.len().saturating_sub(lag);
    let mut tasks: BTreeMap<StreamKey, (u64, State)> = BTreeMap::new();
    let mut agents: BTreeMap<(String, Uuid), f64> = BTreeMap::new();
    let mut days: BTreeMap<(String, chrono::NaiveDate), f64> = BTreeMap::new();
    let mut classes: BTreeMap<ClassKey, (u64, class::State)> = BTreeMap::new();
    for recorded in &world.log[..known] {
        if let Some(key) = class_key(&recorded.commit.stream) {
            let events = recorded.commit.events.iter().map(|event| ClassCodec::decode(event).unwrap());
            let (version, state) = classes.entry(key).or_default();
            *version = recorded.commit.version;
            *state = fold::<Class>(state.clone(), &events.collect::<Vec<_>>());
            continue;
        }
        let Some(key) = capstan_engine::process::task_key(&recorded.commit.stream) else {
            process.commit(recorded, now).unwrap();
            continue;
        };
        let events: Vec<_> =
            recorded.commit.events.iter().map(|event| TaskCodec::decode(event).unwrap()).collect();
        for event in &events {
            if let Event::UsageRecorded(used) = event {
                let cost = used.usage.cost_usd;
                *agents.entry((key.workspace.to_string(), used.agent_id.unwrap().0)).or_default() += cost;
                *days.entry((key.workspace.to_string(), used.at.date_naive())).or_default() += cost;
            }
        }
        let (version, state) = tasks.entry(key).or_default();
        *version = recorded.commit.version;
        *state = fold::<TaskDecider>(state.take(), &events);
    }
    let spent = |workspace: String, agent_id, day, cost_usd| Spent {
        workspace,
        agent_id,
        day,
        cost_usd,
        warned_limit_usd: None,
    };
    let agents =
        agents.into_iter().map(|((workspace, agent), cost)| spent(workspace, Some(agent), None, cost));
    let days = days.into_iter().map(|((workspace, day), cost)| spent(workspace, None, Some(day), cost));
    process.begin_with_spending(Position::new(known as u64), agents.chain(days).collect());
    for (key, (version, state)) in classes {
        process.begin_with_class(&key, version, state);
    }
    for (key, (version, state)) in tasks {
        let is_open = state.as_deref().is_some_and(|task| !task.is_at_rest());
        if is_open {
            process.begin_with(key, version, state, now);
        }
    }
    for recorded in &world.log[known..] {
        process.commit(recorded, now).unwrap();
    }
    let mut waiting = Vec::new();
    loop {
        let effects = process.turn(now);
        if effects.is_empty() {
            return (process, waiting);
        }
        for effect in effects {
            if let Effect::Load(key) = &effect {
                process.loaded(key, look(world, key), now);
            } else {
                waiting.push(effect);
            }
        }
    }
}
