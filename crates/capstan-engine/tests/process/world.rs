//! A log in a list, and the state that follows from it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Debug;

use capstan_contract::lease::LeasedAttempt;
use capstan_contract::{AgentCodec, ClassCodec, TaskCodec};
use capstan_decider::{Decider, fold};
use capstan_domain::Requested;
use capstan_domain::class::{self, Class};
use capstan_domain::id::AttemptId;
use capstan_domain::matching::{self, StreamKey};
use capstan_domain::task::{Command, Event, Rejection, State, Task, TaskDecider, TaskState};
use capstan_engine::process::{
    ClassKey, ClassOrder, ClassSettled, Effect, Loaded, Order, Process, ProcessConfig, ReducedTask, Settled,
};
use capstan_engine::protocol::Answer;
use capstan_envelope::{
    Actor, Carried, Codec, Commit, CommitHash, CommitId, Metadata, Position, Recorded, StreamId, Workspace,
};
use capstan_eventlog::Spent;
use chrono::{DateTime, Utc};
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

/// An engine that leads from the beginning of the log.
pub(crate) fn first() -> Process {
    let mut process = Process::new(config(), start());
    process.lead(start());
    process
}

/// The recorded truth, whatever an engine believes.
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

/// The outcome of a command.
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
    pub(crate) fn send(&mut self, key: &StreamKey, id: Uuid, command: &Requested<Command>) -> Sent {
        let (version, state) = self.tasks.entry(key.clone()).or_default();
        if self.stored.contains(&id) {
            return Ok(Vec::new());
        }
        let decided = TaskDecider::decide(state, command);
        if state.is_none() && decided.is_err() {
            // Reading a stream that does not exist does not create it.
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
        self.record::<TaskCodec>(&stream, version, id, &events);
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

    /// Records events that another decided about a task.
    pub(crate) fn append(&mut self, key: &StreamKey, id: Uuid, events: &[Event]) {
        let (version, state) = self.tasks.entry(key.clone()).or_default();
        *state = fold::<TaskDecider>(state.take(), events);
        *version += 1;
        let (version, stream) = (*version, format!("{}/task/{}", key.workspace, key.task_id));
        self.record::<TaskCodec>(&stream, version, id, events);
    }

    /// Records facts about a workspace or an agent.
    pub(crate) fn tell<C: Codec<Event: Debug + PartialEq>>(
        &mut self,
        stream: &str,
        id: Uuid,
        events: &[C::Event],
    ) {
        let version = self.owners.entry(stream.to_owned()).or_default();
        *version += 1;
        let version = *version;
        self.record::<C>(stream, version, id, events);
    }

    /// As [`World::send`], to a class.
    pub(crate) fn send_to_class(&mut self, order: &ClassOrder) -> ClassSettled {
        let name = (order.key.workspace.to_string(), order.key.instance_key.to_string());
        self.change_class(&name, order.command_id, &order.command);
        let (version, state) = self.classes[&name].clone();
        ClassSettled::Decided { version, state }
    }

    pub(crate) fn change_class(
        &mut self,
        name: &(String, String),
        id: Uuid,
        command: &Requested<class::Command>,
    ) {
        let (version, state) = self.classes.entry(name.clone()).or_default();
        let events = Class::decide(state, command).unwrap();
        if events.is_empty() || !self.stored.insert(id) {
            return;
        }
        *state = fold::<Class>(state.clone(), &events);
        *version += 1;
        let version = *version;
        self.record::<ClassCodec>(&format!("{}/class/{}", name.0, name.1), version, id, &events);
    }

    /// Carries the stream of an agent forward.
    pub(crate) fn carry(&mut self, stream: &str, id: Uuid, carried: &Carried) {
        self.tell::<AgentCodec>(stream, id, &[]);
        let last = self.log.last_mut().expect("it was just told");
        last.commit.events = vec![carried.record().unwrap()];
    }

    fn record<C: Codec<Event: Debug + PartialEq>>(
        &mut self,
        stream: &str,
        version: u64,
        id: Uuid,
        events: &[C::Event],
    ) {
        let stream = stream.parse().unwrap();
        let position = Position::new(self.log.len() as u64 + 1, CommitHash::NONE);
        self.log.push(Recorded { position, ..recorded::<C>(stream, version, id, events) });
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

/// A commit as the log delivers it, links aside. Panics where it does not read back as it was decided.
pub(crate) fn recorded<C: Codec<Event: Debug + PartialEq>>(
    stream: StreamId,
    version: u64,
    id: Uuid,
    events: &[C::Event],
) -> Recorded {
    let mut commit = Commit {
        commit_id: CommitId(id),
        stream,
        version,
        previous: Position::START,
        previous_hash: CommitHash::NONE,
        metadata: Metadata::new("test", Actor::System, id, start()),
        events: Vec::new(),
    };
    commit.events = C::encode(events, commit.facts()).unwrap();
    assert_eq!(C::decode(&commit).unwrap(), events, "stored as {:?}", commit.events);
    Recorded {
        position: Position::new(version, CommitHash::NONE),
        recorded_at: start(),
        hash: CommitHash::NONE,
        commit,
    }
}

pub(crate) fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap()
}

pub(crate) fn attempts(answer: &Answer) -> Vec<LeasedAttempt> {
    match answer {
        Answer::Leased(attempts) => {
            attempts.iter().map(|text| serde_json::from_str(text.get()).unwrap()).collect()
        }
        other => panic!("not leased but {other:?}"),
    }
}

pub(crate) fn execute(world: &mut World, order: &Order) -> Settled {
    if order.expected_version.is_some_and(|expected| expected != world.version(&order.key)) {
        return Settled::Refused;
    }
    match world.send(&order.key, order.command_id, &order.command) {
        Ok(events) => {
            let (version, state) = world.tasks.get(&order.key).cloned().unwrap_or_default();
            Settled::Decided { version, state, events }
        }
        Err(_) => Settled::Refused,
    }
}

/// The task of a commit as a process may have it in memory: as it is now, or not at all.
pub(crate) fn memory<'a>(world: &'a World, recorded: &Recorded) -> Option<(u64, &'a State)> {
    let key = capstan_engine::process::task_key(&recorded.commit.stream)?;
    world.tasks.get(&key).map(|(version, state)| (*version, state))
}

pub(crate) fn load(world: &World, key: &StreamKey) -> Loaded {
    let (version, state) = world.tasks.get(key).cloned().unwrap_or_default();
    Loaded::State { version, state }
}

/// A new leader: the open tasks as they were some commits ago, then every commit since. Its other effects than loads
/// come with it.
pub(crate) fn successor(world: &World, lag: usize, now: DateTime<Utc>) -> (Process, Vec<Effect>) {
    let mut process = Process::new(config(), now);
    let known = world.log.len().saturating_sub(lag);
    let mut tasks: BTreeMap<StreamKey, (u64, State)> = BTreeMap::new();
    let mut agents: BTreeMap<(String, Uuid), f64> = BTreeMap::new();
    let mut days: BTreeMap<(String, chrono::NaiveDate), f64> = BTreeMap::new();
    let mut classes: BTreeMap<ClassKey, (u64, class::State)> = BTreeMap::new();
    for recorded in &world.log[..known] {
        if let Some(key) = ClassKey::from_stream(&recorded.commit.stream) {
            let events = ClassCodec::decode(&recorded.commit).unwrap();
            let (version, state) = classes.entry(key).or_default();
            *version = recorded.commit.version;
            *state = fold::<Class>(state.clone(), &events);
            continue;
        }
        let Some(key) = capstan_engine::process::task_key(&recorded.commit.stream) else {
            process.commit(recorded, None, now).unwrap();
            continue;
        };
        let events = TaskCodec::decode(&recorded.commit).unwrap();
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
    process.begin_with_spending(Position::new(known as u64, CommitHash::NONE), agents.chain(days).collect());
    for (key, (version, state)) in classes {
        process.begin_with_class(&key, version, state);
    }
    for (key, (version, state)) in tasks {
        let is_open = state.as_deref().is_some_and(|task| !task.is_at_rest());
        if is_open {
            process.begin_with(&key, &ReducedTask::new(version, state), now);
        }
    }
    for recorded in &world.log[known..] {
        process.commit(recorded, None, now).unwrap();
    }
    let mut waiting = Vec::new();
    loop {
        let effects = process.turn(usize::MAX, now);
        if effects.is_empty() {
            process.lead(now);
            return (process, waiting);
        }
        for effect in effects {
            if let Effect::Load(key) = &effect {
                process.loaded(key, &load(world, key), now);
            } else {
                waiting.push(effect);
            }
        }
    }
}
