//! Servers, a log, a dispatcher, and engines to start and stop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use capstan_contract::command::RegisterWorker;
use capstan_contract::lease::RegisteredWorker;
use capstan_contract::{ScheduleCodec, TaskCodec, WorkspaceCodec};
use capstan_decider::{Decider, fold};
use capstan_dispatch::{
    CommandContext, Dispatchable, Dispatcher, DispatcherConfig, NoSnapshots, OpenStream, OpenStreams,
    OpenTasks, SnapshotError, Spent, StreamCache,
};
use capstan_domain::agent;
use capstan_domain::id::{AttemptId, TaskId};
use capstan_domain::matching::StreamKey;
use capstan_domain::schedule::ScheduleDecider;
use capstan_domain::task::command::{
    Accept, AcceptAgentCommand, CancelTask, FinishAttempt, RecordUsage, ReportedOutcome,
};
use capstan_domain::task::{Command, Task, TaskDecider, TaskState};
use capstan_domain::usage::Usage;
use capstan_domain::workspace::Workspace as Workspaces;
use capstan_engine::{Deciders, Engine, EngineClient, EngineConfig, EngineHandle};
use capstan_envelope::{
    Actor, Codec, Commit, CommitFacts, CommitHash, CommitId, EventRecord, MemoryShare, Metadata, Position,
    Recorded, StreamHead, StreamId, Workspace,
};
use capstan_eventlog::{DurabilityHint, EventLog, JetStreamConfig, JetStreamLog, Selection};
use capstan_testkit::servers::TestServers;
use chrono::{DateTime, Utc};
use futures_util::{FutureExt as _, StreamExt as _};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

type Tasks = Dispatcher<TaskDecider, TaskCodec>;

pub(crate) struct Office {
    servers: TestServers,
    pub(crate) config: EngineConfig,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) tasks: Arc<Tasks>,
    pub(crate) client: EngineClient,
    ids: AtomicU64,
}

/// An engine with its own dispatcher, as in a process of its own.
pub(crate) struct Running {
    handle: EngineHandle,
    stop: CancellationToken,
}

impl Running {
    pub(crate) async fn leads(&self) {
        let mut is_leading = self.handle.is_leading();
        let led = tokio::time::timeout(Duration::from_mins(1), is_leading.wait_for(|leads| *leads)).await;
        led.expect("it never led").expect("the engine ended");
    }

    pub(crate) fn is_leading(&self) -> bool {
        *self.handle.is_leading().borrow()
    }

    /// Signals every change of leading.
    pub(crate) fn leading(&self) -> tokio::sync::watch::Receiver<bool> {
        self.handle.is_leading()
    }

    /// The reason it cannot lead.
    pub(crate) async fn obstacle(&self) -> String {
        let mut obstacle = self.handle.obstacle();
        let told = tokio::time::timeout(Duration::from_mins(1), obstacle.wait_for(Option::is_some)).await;
        told.expect("it never told").expect("the engine ended").clone().unwrap_or_default()
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.handle.join().await.unwrap();
    }
}

/// The open tasks, folded from the log itself.
struct FromLog(Arc<dyn EventLog>);

#[async_trait]
impl OpenTasks for FromLog {
    async fn spending(&self) -> Result<(Position, Vec<Spent>), SnapshotError> {
        // Nothing before the log: the engine that follows it from the start needs none.
        Ok((Position::START, Vec::new()))
    }

    async fn open_tasks(&self) -> Result<OpenStreams, SnapshotError> {
        let unavailable = |source| SnapshotError::Unavailable { source: Box::new(source) };
        let mut tail = self.0.tail(Selection::All, Position::START).await.map_err(unavailable)?;
        let (mut tasks, mut schedules) = (Folded::<TaskDecider>::new(), Folded::<ScheduleDecider>::new());
        let mut owners = Folded::<Workspaces>::new();
        loop {
            let batch = tail.next().await.map_err(unavailable)?;
            for recorded in &batch.commits {
                match recorded.commit.stream.category() {
                    TaskCodec::CATEGORY => advance::<TaskDecider, TaskCodec>(&mut tasks, recorded),
                    ScheduleCodec::CATEGORY => {
                        advance::<ScheduleDecider, ScheduleCodec>(&mut schedules, recorded);
                    }
                    WorkspaceCodec::CATEGORY => {
                        advance::<Workspaces, WorkspaceCodec>(&mut owners, recorded);
                    }
                    _ => {}
                }
            }
            if batch.caught_up {
                let open = snapshots::<TaskDecider>(tasks).chain(snapshots::<ScheduleDecider>(schedules));
                let open = open.chain(snapshots::<Workspaces>(owners));
                let chunks = futures_util::stream::iter(open.map(|open| Ok(vec![open]))).boxed();
                return Ok(OpenStreams { position: batch.position, chunks });
            }
        }
    }
}

type Folded<D> = BTreeMap<StreamId, (StreamHead, <D as Decider>::State)>;

fn advance<D: Decider, C: Codec<Event = D::Event>>(folded: &mut Folded<D>, recorded: &Recorded) {
    let events = C::decode(&recorded.commit).unwrap();
    let (head, state) = folded.entry(recorded.commit.stream.clone()).or_default();
    head.advance(recorded);
    *state = fold::<D>(std::mem::take(state), &events);
}

fn snapshots<D: Decider<State: serde::Serialize + Send + 'static>>(
    folded: Folded<D>,
) -> impl Iterator<Item = OpenStream> + Send + 'static {
    folded.into_iter().map(|(stream, (head, state))| {
        let state = serde_json::value::to_raw_value(&state).unwrap();
        OpenStream { stream, version: head.version, state }
    })
}

pub(crate) fn dispatcher<D: Dispatchable, C: Codec<Event = D::Event>>(
    log: &Arc<dyn EventLog>,
) -> Arc<Dispatcher<D, C>> {
    let config = DispatcherConfig::new(StreamCache::new(MemoryShare::unlimited()));
    Arc::new(Dispatcher::new(Arc::clone(log), Arc::new(NoSnapshots), config))
}

impl Office {
    pub(crate) async fn open(mut config: EngineConfig) -> Self {
        // Tasks of these tests share an agent and must not wait for each other.
        config.matching.class_limit = config.matching.class_limit.max(1_000);
        let servers = TestServers::start().await.unwrap();
        let jetstream = JetStreamConfig {
            durability: DurabilityHint::Interval,
            ..JetStreamConfig::new(servers.nats_url())
        };
        let log: Arc<dyn EventLog> = Arc::new(JetStreamLog::connect(jetstream).await.unwrap());
        let client = EngineClient::new(servers.nats().await.unwrap(), config.subjects.clone());
        let tasks = dispatcher(&log);
        Self { servers, config, log, tasks, client, ids: AtomicU64::new(1) }
    }

    /// Starts an engine and waits until it leads.
    pub(crate) async fn engine(&self) -> Running {
        let running = self.candidate().await;
        running.leads().await;
        running
    }

    /// Starts an engine.
    pub(crate) async fn candidate(&self) -> Running {
        self.candidate_of(self.config.clone()).await
    }

    /// Starts an engine with settings of its own.
    pub(crate) async fn candidate_of(&self, config: EngineConfig) -> Running {
        self.candidate_with(config, Arc::new(FromLog(Arc::clone(&self.log)))).await
    }

    /// Starts an engine that begins with these open tasks.
    pub(crate) async fn candidate_with(
        &self,
        config: EngineConfig,
        open_tasks: Arc<dyn OpenTasks>,
    ) -> Running {
        let stop = CancellationToken::new();
        let url = self.servers.nats_url();
        let handle = Engine::start(
            config,
            Arc::clone(&self.log),
            Deciders {
                tasks: dispatcher(&self.log),
                schedules: dispatcher(&self.log),
                classes: dispatcher(&self.log),
                agents: dispatcher(&self.log),
            },
            open_tasks,
            self.servers.nats().await.unwrap(),
            Arc::new(move || async_nats::connect(url.clone()).boxed()),
            stop.clone(),
        );
        Running { handle, stop }
    }

    pub(crate) async fn register(&self) -> RegisteredWorker {
        let worker = RegisterWorker { name: "w".into(), slots: 4, ..RegisterWorker::default() };
        self.client.register(worker).await.unwrap()
    }

    pub(crate) async fn state(&self, key: &StreamKey) -> TaskState {
        let loaded = self.tasks.refresh(&stream(key)).await.unwrap();
        loaded.state.as_deref().unwrap().state
    }

    pub(crate) async fn task(&self, key: &StreamKey) -> Task {
        *self.tasks.refresh(&stream(key)).await.unwrap().state.clone().unwrap()
    }

    /// Records facts about something else than a task.
    pub(crate) async fn tell<C: Codec>(&self, name: &str, events: &[C::Event]) {
        self.record(name, |facts| C::encode(events, facts).unwrap()).await;
    }

    /// Records an event with this name and these data, which this build may not know.
    pub(crate) async fn tell_named(&self, name: &str, event: &str, data: &serde_json::Value) {
        let data = serde_json::value::to_raw_value(data).unwrap();
        let event = EventRecord { name: event.into(), version: 1, data };
        self.record(name, |_| vec![event]).await;
    }

    async fn record(&self, name: &str, events: impl FnOnce(CommitFacts<'_>) -> Vec<EventRecord>) {
        let command_id = self.fresh();
        let mut commit = Commit {
            commit_id: CommitId(command_id),
            stream: name.parse().unwrap(),
            version: 1,
            previous: Position::START,
            previous_hash: CommitHash::NONE,
            metadata: Metadata::new("test", Actor::System, command_id, now()),
            events: Vec::new(),
        };
        commit.events = events(commit.facts());
        self.log.append(&commit).await.unwrap();
    }

    pub(crate) async fn send(&self, key: &StreamKey, command: Command) {
        self.execute(&self.tasks, &stream(key), &command.at(now())).await;
    }

    /// Sends a command to a stream that must take it.
    pub(crate) async fn execute<D, C>(
        &self,
        dispatcher: &Dispatcher<D, C>,
        stream: &StreamId,
        command: &D::Command,
    ) where
        D: Dispatchable<Rejection: std::fmt::Debug, Event: std::fmt::Debug>,
        C: Codec<Event = D::Event>,
    {
        let command_id = self.fresh();
        let context = CommandContext::new(command_id, "test", Actor::System, now());
        dispatcher.execute(stream, command, &context).await.unwrap();
    }

    fn fresh(&self) -> Uuid {
        Uuid::from_u128(u128::from(self.ids.fetch_add(1, Ordering::Relaxed)))
    }

    /// Sends a first report, which records that the attempt has begun.
    pub(crate) async fn begin(&self, attempt_id: &AttemptId) {
        let key = StreamKey::new(&attempt_id.workspace, attempt_id.task);
        let usage = Usage { input_tokens: 1, ..Usage::default() };
        let command = RecordUsage { usage };
        self.send(&key, Command::RecordUsage { command, attempt_id: attempt_id.clone() }).await;
    }

    pub(crate) async fn cancel(&self, key: &StreamKey) {
        let command = CancelTask { task_id: key.task_id, reason: None };
        self.send(key, Command::Cancel { command, grace_ms: 10_000 }).await;
    }

    pub(crate) async fn finish(&self, attempt_id: &AttemptId) {
        let key = StreamKey::new(&attempt_id.workspace, attempt_id.task);
        let report = FinishAttempt { exit_code: Some(0), ..FinishAttempt::new(ReportedOutcome::Ok) };
        let finish = Command::Finish { command: Box::new(report), attempt_id: attempt_id.clone() };
        self.send(&key, finish).await;
    }

    pub(crate) async fn accept(&self, session: &str) -> StreamKey {
        let key = StreamKey::new("dev", TaskId(self.fresh()));
        let (message, session_id) = ("do it".into(), Some(session.into()));
        let command = AcceptAgentCommand { message, session_id, ..AcceptAgentCommand::default() };
        let accept = Accept::new(key.task_id, demo(now()), command);
        self.send(&key, Command::Accept(Box::new(accept))).await;
        key
    }
}

/// The agent everybody speaks to.
pub(crate) fn demo(at: DateTime<Utc>) -> agent::Created {
    agent::Created::named("dev", "demo", "Demo", at)
}

fn stream(key: &StreamKey) -> StreamId {
    StreamId::new(Workspace::new(&key.workspace).unwrap(), "task", &key.task_id.to_string()).unwrap()
}

pub(crate) fn now() -> DateTime<Utc> {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    DateTime::from_timestamp_nanos(i64::try_from(since_epoch.as_nanos()).unwrap())
}
