//! Histories for tests and benchmarks: deciders decide, the in-memory log keeps what they decided.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use capstan_contract::DomainEvent;
use capstan_decider::Decider;
use capstan_domain::agent::{self, Agent};
use capstan_domain::channel::{self, Channel};
use capstan_domain::id::{AgentId, InputId, OutputId, TaskId, WorkerId};
use capstan_domain::implied::{self, Implied};
use capstan_domain::task::command::NewOutputStatus;
use capstan_domain::task::event::{Priority, Question, TaskReprioritised};
use capstan_domain::task::state::{InputState, Run};
use capstan_domain::task::{self, Command, TaskDecider, TaskState, command};
use capstan_domain::usage::Usage;
use capstan_domain::workspace;
use capstan_domain::{Change, Requested};
use capstan_envelope::{
    Actor, Commit, CommitId, EventRecord, Idempotency, KeysSeen, Metadata, Position, StreamHead, StreamId,
    Workspace,
};
use capstan_eventlog::{EventLog, MemoryLog, Selection};
use capstan_projections::ReadModels;
use chrono::{DateTime, Duration, TimeZone, Utc};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// The command of every commit.
const COMMAND: &str = "story";

/// A small deterministic random number generator.
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) ^ (self.0 >> 47)) % end
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A task of the story, with its state after the last commit.
pub struct StoryTask {
    pub id: TaskId,
    pub stream: StreamId,
    pub head: StreamHead,
    pub state: task::State,
    /// Every run it ever had, oldest first, as it was last; its state forgets those that are over.
    pub runs: Vec<Run>,
    /// Every input, oldest first.
    pub inputs: Vec<InputId>,
}

impl StoryTask {
    fn apply(&mut self, event: &task::Event) {
        self.state = TaskDecider::evolve(self.state.take(), event);
        if let task::Event::InputAccepted(accepted) = event {
            self.inputs.push(accepted.input_id);
        }
        for kept in self.state.iter().flat_map(|task| &task.runs.kept) {
            match self.runs.iter_mut().find(|run| run.run_id == kept.run_id) {
                Some(run) => run.clone_from(kept),
                None => self.runs.push(kept.clone()),
            }
        }
    }
}

/// A history under construction.
pub struct Story {
    pub log: MemoryLog,
    pub chance: Chance,
    pub tasks: Vec<StoryTask>,
    pub agents: Vec<agent::Created>,
    /// Cost of all runs, by agent.
    pub costs: BTreeMap<AgentId, f64>,
    pub message_bytes: usize,
    now: DateTime<Utc>,
    serial: u128,
}

impl Story {
    /// An empty history.
    pub fn empty(seed: u64) -> Self {
        Self {
            log: MemoryLog::new(),
            chance: Chance::new(seed),
            tasks: Vec::new(),
            agents: Vec::new(),
            costs: BTreeMap::new(),
            message_bytes: 12,
            now: Utc.with_ymd_and_hms(2026, 1, 2, 3, 4, 5).unwrap(),
            serial: u128::from(seed) << 64,
        }
    }

    /// Two workspaces with two agents each.
    pub async fn begin(seed: u64) -> Self {
        let mut story = Self::empty(seed);
        for name in ["dev", "other"] {
            story.make_workspace(name).await;
            for key in ["demo", "writer"] {
                story.make_agent(name, key).await;
            }
        }
        story.make_channels("dev", "other").await;
        story
    }

    pub fn shared(&self) -> Arc<dyn EventLog> {
        Arc::new(self.log.clone())
    }

    pub async fn end(&self) -> Position {
        self.log.head().await.unwrap()
    }

    pub fn tick(&mut self) -> DateTime<Utc> {
        // Nanoseconds: documents keep them, columns round them.
        self.now += Duration::microseconds(1_234) + Duration::nanoseconds(7);
        self.now
    }

    pub fn uuid(&mut self) -> Uuid {
        self.serial += 1;
        Uuid::from_u128(self.serial)
    }

    async fn make_workspace(&mut self, name: &str) {
        let stream = StreamId::new(Workspace::new(name).unwrap(), "workspace", name).unwrap();
        let create = workspace::CreateWorkspace {
            workspace: name.into(),
            display_name: Some(format!("The {name} one")),
        };
        let quotas = workspace::QuotaChanges {
            open_tasks_max: Change::Set(100_000),
            ..workspace::QuotaChanges::default()
        };
        let settings = workspace::SettingsChanges { quotas: Some(quotas), ..Default::default() };
        let update = Box::new(workspace::UpdateWorkspace { settings: Some(settings), ..Default::default() });
        let create = Requested::new(workspace::Command::Create(create), self.tick());
        let update = workspace::Command::Update { workspace: name.into(), update };
        let update = Requested::new(update, self.tick());
        self.live::<workspace::Workspace>(&stream, [create, update], DomainEvent::Workspace).await;
    }

    /// An agent that is changed once, and another that is created and deleted twice.
    async fn make_agent(&mut self, name: &str, key: &str) {
        let update = |at| {
            let config = object(json!({"model": "m-2"}));
            let update = Box::new(agent::UpdateAgent { config, ..Default::default() });
            Requested::new(agent::Command::Update(update), at)
        };
        let (create, changed) = (self.new_agent(name, key), update(self.tick()));
        let stream = agent_stream(name, key);
        let events = self.live::<Agent>(&stream, [create, changed], DomainEvent::Agent).await;
        let agent::Event::Created(created) = &events[0] else { panic!("created") };
        self.agents.push(created.clone());
        let brief = format!("{key}-brief");
        let delete = Requested::new(agent::Command::Delete { open_tasks: 0 }, self.tick());
        let life = [self.new_agent(name, &brief), delete.clone(), self.new_agent(name, &brief), delete];
        self.live::<Agent>(&agent_stream(name, &brief), life, DomainEvent::Agent).await;
    }

    fn new_agent(&mut self, name: &str, key: &str) -> Requested<agent::Command> {
        let agent = Box::new(agent::CreateAgent {
            agent_key: key.into(),
            name: format!("Agent {key}"),
            quality_score: Some(0.1 + 0.2),
            config: object(json!({"runner": "process", "model": "m-1"})),
            ..Default::default()
        });
        Requested::new(agent::Command::Create { workspace: name.into(), agent }, self.tick())
    }

    /// An address that the first workspace releases and the second one binds, and one for each of them.
    async fn make_channels(&mut self, first: &str, second: &str) {
        let bind = |workspace: &str, address: &str, at| {
            let binding = Box::new(channel::UpsertChannelBinding {
                channel_type: "email".into(),
                address: address.into(),
                ..Default::default()
            });
            let workspace = workspace.to_owned();
            Requested::new(channel::Command::Upsert { workspace, agent_id: None, binding }, at)
        };
        let release = channel::Command::Delete { workspace: first.into() };
        let release = Requested::new(release, self.tick());
        let passed_on =
            vec![bind(first, "both@x", self.tick()), release, bind(second, "both@x", self.tick())];
        let lives = [
            ("both@x", passed_on),
            (first, vec![bind(first, first, self.tick())]),
            (second, vec![bind(second, second, self.tick())]),
        ];
        for (address, life) in lives {
            let id = channel::Address::new("email", address).unwrap().channel_id();
            let workspace = Workspace::new(channel::WORKSPACE).unwrap();
            let stream = StreamId::new(workspace, "channel", &id.to_string()).unwrap();
            self.live::<Channel>(&stream, life, DomainEvent::Channel).await;
        }
    }

    /// Executes commands on a new stream, one commit each.
    async fn live<D: Decider<Event: Clone, Rejection: std::fmt::Debug>>(
        &mut self,
        stream: &StreamId,
        commands: impl IntoIterator<Item = D::Command>,
        event: fn(D::Event) -> DomainEvent,
    ) -> Vec<D::Event> {
        let (mut head, mut state) = (StreamHead::default(), D::State::default());
        let mut all = Vec::new();
        for command in commands {
            let events = D::decide(&state, &command).unwrap();
            let written: Vec<_> = events.iter().cloned().map(event).collect();
            head = self.append(stream, &head, &written, None).await;
            state = capstan_decider::fold::<D>(state, &events);
            all.extend(events);
        }
        all
    }

    /// Changes a task with a command that has this key.
    pub async fn reprioritise(&mut self, index: usize, key: &str) {
        let (stream, head) = (self.tasks[index].stream.clone(), self.tasks[index].head.clone());
        let changed = TaskReprioritised { priority: Priority::High, at: self.now };
        let changed = DomainEvent::Task(task::Event::TaskReprioritised(changed));
        self.tasks[index].head = self.append(&stream, &head, &[changed], Some(key)).await;
    }

    /// Appends events as one commit and returns the head after it.
    pub async fn append(
        &mut self,
        stream: &StreamId,
        head: &StreamHead,
        events: &[DomainEvent],
        key: Option<&str>,
    ) -> StreamHead {
        let said = Implied {
            workspace: stream.workspace().as_str().to_owned(),
            entity: stream.id().parse().ok(),
            at: self.now,
            client: None,
            command: COMMAND.to_owned(),
            key: key.map(str::to_owned),
        };
        let records = implied::within(said, || events.iter().map(|event| event.encode().unwrap()).collect());
        self.append_records(stream, head, records, key).await
    }

    /// Appends stored events unchanged.
    pub async fn append_records(
        &mut self,
        stream: &StreamId,
        head: &StreamHead,
        events: Vec<EventRecord>,
        key: Option<&str>,
    ) -> StreamHead {
        let id = self.uuid();
        let commit = Commit {
            commit_id: CommitId(id),
            stream: stream.clone(),
            version: head.version + 1,
            previous: head.position,
            previous_hash: head.hash,
            metadata: Metadata {
                idempotency: key
                    .map(|key| Idempotency { key: key.into(), fingerprint: format!("fingerprint of {key}") }),
                ..Metadata::new(COMMAND, Actor::Engine, id, self.now)
            },
            events,
        };
        let appended = self.log.append(&commit).await.unwrap();
        let recorded = self.log.at(appended.position).await.unwrap().unwrap();
        let mut head = head.clone();
        head.advance(&recorded);
        head
    }

    /// Appends the commit that carries each stream forward, as the rows have it at the end of the log.
    pub async fn carry_all(&mut self, read_models: &ReadModels) {
        let mut tail = self.log.tail(Selection::All, Position::START).await.unwrap();
        let streams =
            tail.next().await.unwrap().commits.into_iter().map(|recorded| recorded.commit.stream.clone());
        for stream in streams.collect::<BTreeSet<_>>() {
            let (head, mut carried) = read_models.carried(&stream).await.unwrap().expect("it has a row");
            let mut keys = KeysSeen::default();
            for recorded in self.log.read_stream(&stream, Position::START).await.unwrap() {
                keys.take(&recorded.commit).unwrap();
            }
            carried.older = keys.without(&carried.keys);
            let head = self.append_records(&stream, &head, vec![carried.record().unwrap()], None).await;
            for task in self.tasks.iter_mut().filter(|task| task.stream == stream) {
                task.head = head.clone();
            }
        }
    }

    /// Executes a command on a task; true when it produced events.
    pub async fn execute(&mut self, index: usize, command: Command) -> bool {
        let command = command.at(self.tick());
        let Ok(events) = TaskDecider::decide(&self.tasks[index].state, &command) else { return false };
        if events.is_empty() {
            return false;
        }
        let task = &self.tasks[index];
        let (stream, head) = (task.stream.clone(), task.head.clone());
        let agent_id = task.state.as_ref().map(|task| task.accepted.agent_id);
        let key = self.chance.one_in(5).then(|| format!("key {}", head.version));
        for event in &events {
            if let (task::Event::UsageRecorded(recorded), Some(agent_id)) = (event, agent_id) {
                *self.costs.entry(agent_id).or_default() += recorded.usage.cost_usd;
            }
            self.tasks[index].apply(event);
        }
        let events: Vec<_> = events.into_iter().map(DomainEvent::Task).collect();
        let head = self.append(&stream, &head, &events, key.as_deref()).await;
        self.tasks[index].head = head;
        true
    }

    /// Accepts a task and returns its index.
    pub async fn accept(&mut self, change: impl FnOnce(&mut command::Accept)) -> usize {
        let agent = self.agents[self.chance.below(self.agents.len() as u64) as usize].clone();
        let id = TaskId(self.uuid());
        let workspace = agent.workspace.clone();
        let stream = StreamId::new(Workspace::new(&workspace).unwrap(), "task", &id.to_string()).unwrap();
        let asked = command::AcceptAgentCommand {
            message: message(self.serial, self.message_bytes),
            session_id: Some(format!("session {}", self.serial)),
            labels: [("team".to_owned(), "red".to_owned())].into(),
            routing: object(json!({"channel": "mail"})),
            ..command::AcceptAgentCommand::default()
        };
        let mut accept =
            command::Accept { message_bytes_max: 1_000_000, ..command::Accept::new(id, agent, asked) };
        change(&mut accept);
        let (runs, inputs) = (Vec::new(), Vec::new());
        self.tasks.push(StoryTask { id, stream, head: StreamHead::default(), state: None, runs, inputs });
        let index = self.tasks.len() - 1;
        assert!(self.execute(index, Command::Accept(Box::new(accept))).await, "the task was not accepted");
        index
    }

    /// One task from acceptance to its end in 5 commits and 9 events, one commit at a time.
    pub async fn lifecycle_step(&mut self, index: usize, step: u32) {
        let attempt = || self.tasks[index].state.as_ref().unwrap().live.as_ref().unwrap().attempt_id.clone();
        let command = match step {
            0 => {
                let run_id = self.tasks[index].state.as_ref().unwrap().current_run().unwrap().run_id;
                Command::Lease(lease(run_id))
            }
            1 => Command::RecordUsage {
                command: command::RecordUsage { usage: usage(0.005) },
                attempt_id: attempt(),
            },
            2 => {
                let attempt_id = attempt();
                self.output(attempt_id, None)
            }
            _ => {
                let usage = Some(usage(0.01));
                let command = command::FinishAttempt { usage, ..finish(command::ReportedOutcome::Ok) };
                Command::Finish { command: Box::new(command), attempt_id: attempt() }
            }
        };
        assert!(self.execute(index, command).await, "step {step} decided nothing");
    }

    fn output(
        &mut self,
        attempt_id: capstan_domain::id::AttemptId,
        status: Option<NewOutputStatus>,
    ) -> Command {
        let command = Box::new(command::ProduceOutput {
            id: None,
            name: None,
            output_type: "report".into(),
            title: "What was found".into(),
            summary: None,
            uri: None,
            data: object(json!({"lines": 3, "text": "all is well"})),
            metadata: object(json!({"artifact_kind": "report"})),
            status,
        });
        let (fingerprint, output_id) = ("fingerprint".into(), OutputId(self.uuid()));
        Command::ProduceOutput { command, fingerprint, output_id, attempt_id: Some(attempt_id) }
    }

    /// Executes a plausible command on a random task.
    pub async fn step(&mut self) {
        if self.tasks.is_empty() || self.chance.one_in(6) {
            let (sleeps, texts, parent) =
                (self.chance.one_in(5), self.chance.one_in(4), self.chance.one_in(4));
            let parent = self.tasks.last().filter(|_| parent).map(|task| (task.id, task.stream.clone()));
            let urgent = self.chance.one_in(3);
            self.accept(|accept| {
                accept.command.dispatch_delay_ms = sleeps.then_some(50);
                accept.command.label = texts.then(|| "Nightly \u{0}Report".to_owned());
                if texts {
                    accept.command.message.push_str(" and \u{0}\"quoted\" \\ too");
                }
                accept.command.priority = urgent.then(|| "urgent".to_owned());
                accept.command.queue_ttl_ms = urgent.then_some(60_000);
                accept.parent = parent
                    .filter(|(_, stream)| stream.workspace().as_str() == accept.agent.workspace)
                    .map(|(task_id, _)| command::Parent {
                        task_id,
                        root_task_id: task_id,
                        depth: 0,
                        is_open: true,
                    });
            })
            .await;
            return;
        }
        let index = self.chance.below(self.tasks.len() as u64) as usize;
        let Some(command) = self.plausible(index) else { return };
        self.execute(index, command).await;
    }

    fn plausible(&mut self, index: usize) -> Option<Command> {
        let task = self.tasks[index].state.clone()?;
        let roll = self.chance.below(100);
        if roll < 4 {
            let command = command::CancelTask { task_id: task.id(), reason: Some("enough".into()) };
            return Some(Command::Cancel { command, grace_ms: 10 });
        }
        if roll < 14 {
            let input = command::SubmitTaskInput {
                answers: object(json!({"q": roll})),
                ..command::SubmitTaskInput::from_text(task.id(), format!("go on {roll}"))
            };
            let input_id = InputId(self.uuid());
            return Some(Command::SubmitInput(command::SubmitInput::new(input_id, input)));
        }
        if let Some(live) = &task.live {
            return Some(self.for_live_attempt(&task, live, roll));
        }
        match task.state {
            TaskState::Queued => {
                let run_id = task.current_run()?.run_id;
                Some(if roll < 20 {
                    Command::ExpireQueue(command::ExpireQueue { run_id })
                } else {
                    Command::Lease(lease(run_id))
                })
            }
            TaskState::Sleeping => {
                Some(Command::Wake(command::Wake { wake_at: task.sleep.as_ref()?.wake_at }))
            }
            TaskState::Running
            | TaskState::Waiting
            | TaskState::Done
            | TaskState::Error
            | TaskState::Dropped
            | TaskState::Cancelled => None,
        }
    }

    fn for_live_attempt(
        &mut self,
        task: &task::Task,
        live: &capstan_domain::task::state::Live,
        roll: u64,
    ) -> Command {
        let attempt_id = live.attempt_id.clone();
        if live.cancel_grace_until.is_some() && roll < 60 {
            let cause = command::ReleaseCause::GraceOver;
            return Command::ReleaseAttempt(command::ReleaseAttempt { attempt_id, cause });
        }
        let output_id = task.outputs.named().next().map_or(OutputId(Uuid::nil()), |(id, _)| id);
        let claimed = task.inbox.iter().find(|input| matches!(input.state, InputState::Claimed(_)));
        match roll {
            14..30 => {
                Command::RecordUsage { command: command::RecordUsage { usage: usage(0.005) }, attempt_id }
            }
            30..38 => self.output(attempt_id, (roll >= 34).then_some(NewOutputStatus::Pending)),
            38..43 => Command::AppendOutputRows {
                command: command::AppendOutputRows { output_id, rows: vec![json!({"row": roll})] },
                attempt_id: Some(attempt_id),
            },
            43..46 => Command::FinalizeOutput {
                command: command::FinalizeOutput { output_id, summary: "in short".into() },
                fingerprint: "fingerprint".into(),
                attempt_id: Some(attempt_id),
            },
            46..52 => Command::RecordUsage {
                command: command::RecordUsage { usage: usage(0.1 * (roll as f64 + 0.7)) },
                attempt_id,
            },
            52..56 => {
                let command = Box::new(question());
                Command::OpenBlocker { command, attempt_id, fitting: Vec::new() }
            }
            56..62 => Command::ClaimInput { attempt_id },
            62..68 => Command::AckInput {
                command: command::AckInput {
                    input_id: claimed.map_or(InputId(Uuid::nil()), |input| input.input_id),
                },
                attempt_id,
            },
            68 => Command::Return { command: command::ReturnAttempt::default(), attempt_id },
            69..72 => Command::ExpireLease(command::ExpireLease { attempt_id, reason: "silence".into() }),
            72..75 => Command::TimeOutAttempt(command::TimeOutAttempt { attempt_id, grace_ms: 10 }),
            _ => Command::Finish { command: Box::new(Self::end_of_attempt(roll)), attempt_id },
        }
    }

    fn end_of_attempt(roll: u64) -> command::FinishAttempt {
        let outcome = match roll {
            75..88 => command::ReportedOutcome::Ok,
            88..95 => command::ReportedOutcome::Error,
            95..98 => command::ReportedOutcome::Timeout,
            _ => command::ReportedOutcome::Cancelled,
        };
        command::FinishAttempt {
            exit_code: Some(roll as i32),
            error: (outcome != command::ReportedOutcome::Ok).then(|| "connection refused".to_owned()),
            usage: Some(usage(0.3)),
            waiting_for_input: roll == 80,
            blocker: (roll == 81 || roll == 82).then(question),
            wake: (roll == 83 || roll == 84).then(|| command::WakePlan {
                delay_minutes: Some(1),
                reason: Some("later".into()),
                ..command::WakePlan::default()
            }),
            result: Some(json!({"answer": roll})),
            ..finish(outcome)
        }
    }
}

fn lease(run_id: capstan_domain::id::RunId) -> command::Lease {
    let worker_id = WorkerId(Uuid::from_u128(42));
    command::Lease { run_id, worker_id, worker_name: "worker".into(), lease_ms: 1_000 }
}

fn finish(outcome: command::ReportedOutcome) -> command::FinishAttempt {
    command::FinishAttempt { exit_code: Some(0), ..command::FinishAttempt::new(outcome) }
}

fn question() -> command::OpenBlocker {
    command::OpenBlocker {
        summary: "Which one?".into(),
        details: Some("There are two.".into()),
        questions: vec![Question { id: "q".into(), text: "Which?".into() }],
        ..command::OpenBlocker::default()
    }
}

fn usage(cost_usd: f64) -> Usage {
    Usage { input_tokens: 10, output_tokens: 3, cost_usd, ..Usage::default() }
}

fn agent_stream(workspace: &str, key: &str) -> StreamId {
    let id = AgentId::from_key(workspace, key).to_string();
    StreamId::new(Workspace::new(workspace).unwrap(), "agent", &id).unwrap()
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("{other} is not an object"),
    }
}

fn message(serial: u128, bytes: usize) -> String {
    let mut text = format!("Look at {serial} ");
    while text.len() < bytes {
        text.push_str("and say what you see there, please. ");
    }
    text.truncate(bytes.max(16));
    text
}
