//! The active engine: one loop over everything that can happen.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Message, Subject};
use capstan_contract::{AgentCodec, ClassCodec, TaskCodec, WorkspaceCodec};
use capstan_dispatch::{
    CommandContext, DispatchError, Dispatcher, OpenTasks, ReadFailure, Snapshot, SnapshotError,
};
use capstan_domain::class::{self, Class};
use capstan_domain::matching::StreamKey;
use capstan_domain::schedule;
use capstan_domain::task::{State, TaskDecider};
use capstan_domain::{agent, workspace};
use capstan_envelope::{Actor, Codec, StreamId, Workspace};
use capstan_eventlog::{EventLog, ReadError, Selection, Tail, TailBatch};
use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use futures_util::stream::SelectAll;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::clock::now;
use crate::leadership::{LeadershipError, Term};
use crate::process::{
    CallId, ClassOrder, ClassSettled, Effect, Loaded, Order, Process, ProcessConfig, ScheduleKey, Seen,
    Settled, ToolAnswer, ToolRequest, class_key, task_key,
};
use crate::protocol::{Answer, Request, subjects_served};
use crate::ticking;
use crate::tool_caller::ToolCaller;
use crate::{Deciders, EngineConfig};

type Tasks = Dispatcher<TaskDecider, TaskCodec>;
type Classes = Dispatcher<Class, ClassCodec>;

/// Calls of endpoints under way at once.
const CALLS_MAX: usize = 256;
/// How often the gauges are set.
const MEASURE_EVERY: Duration = Duration::from_secs(1);

/// Why a reign could not begin or go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReignError {
    /// The open tasks could not be loaded.
    #[error("begin to lead: the open tasks did not come")]
    OpenTasks(#[from] SnapshotError),
    /// A task could not be loaded.
    #[error("begin to lead: a task could not be loaded")]
    Load(#[from] ReadFailure),
    /// The log could not be followed.
    #[error("lead: the log could not be followed")]
    Log(#[from] ReadError),
    /// Nobody could be served.
    #[error("begin to lead: the subjects could not be served")]
    Serve(#[from] async_nats::SubscribeError),
    /// A defect.
    #[error("lead: a command of the engine panicked")]
    Panicked(#[source] JoinError),
}

impl ReignError {
    /// True when another try may succeed.
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::OpenTasks(source) => source.is_retryable(),
            Self::Load(source) => source.is_retryable(),
            Self::Log(source) => source.is_retryable(),
            Self::Serve(_) | Self::Panicked(_) => true,
        }
    }
}

/// How a reign ended.
#[derive(Debug)]
pub(crate) enum End {
    /// Somebody else leads, or nobody.
    Deposed(LeadershipError),
    /// The engine was told to stop.
    Stopped,
}

/// What a reign needs from outside.
#[derive(Clone)]
pub(crate) struct Realm {
    pub(crate) config: EngineConfig,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) deciders: Deciders,
    pub(crate) classes: Arc<Classes>,
    pub(crate) open_tasks: Arc<dyn OpenTasks>,
    pub(crate) nats: async_nats::Client,
    pub(crate) tools: ToolCaller,
}

/// Everything that can happen.
enum Happening {
    Commits(Result<TailBatch, ReadError>),
    Asked(Message),
    Done(Result<Done, JoinError>),
    TimePassed,
    Deposed(LeadershipError),
    Stopped,
}

/// What was done outside, with its outcome.
enum Done {
    Ordered(Box<Order>, Settled),
    Looked(Arc<StreamKey>, Loaded),
    ClassOrdered(Box<ClassOrder>, ClassSettled),
    ToolCalled(Box<ToolRequest>, ToolAnswer),
    Schedule(Arc<ScheduleKey>, Option<DateTime<Utc>>, Seen),
}

pub(crate) struct Reign {
    realm: Realm,
    process: Process,
    tail: Tail,
    requests: SelectAll<async_nats::Subscriber>,
    /// Where the answer to each call goes.
    callers: HashMap<CallId, Subject>,
    calls: u64,
    /// Effects not begun yet.
    waiting: VecDeque<Effect>,
    under_way: JoinSet<Done>,
    /// Calls of endpoints: they may take long, and must not keep commands waiting.
    tool_calls: VecDeque<Box<ToolRequest>>,
    calling: JoinSet<Done>,
    replies: mpsc::UnboundedSender<(Subject, Answer)>,
    /// Ends with the reign.
    _writer: AbortOnDropHandle<()>,
    measured_at: tokio::time::Instant,
}

impl Reign {
    /// Loads the open tasks and reads the log to its end; only then serves.
    pub(crate) async fn begin(realm: Realm) -> Result<Self, ReignError> {
        let EngineConfig { lease_ms, renew_every_ms, grace_ms, matching, .. } = realm.config;
        let config = ProcessConfig { lease_ms, renew_every_ms, grace_ms, matching };
        let mut process = Process::new(config, now());
        let (position, open) = realm.open_tasks.open_tasks().await?;
        let count = open.len();
        for (stream, snapshot) in open {
            if let Some(key) = ScheduleKey::of(&stream) {
                begin_with_schedule(&realm, &mut process, key, &stream, &snapshot).await?;
                continue;
            }
            if let Some(key) = class_key(&stream) {
                let (version, state) = if let Ok(state) = class::State::deserialize(&snapshot.state) {
                    (snapshot.head.version, state)
                } else {
                    let loaded = realm.classes.refresh(&stream).await?;
                    (loaded.head.version, loaded.state.clone())
                };
                process.begin_with_class(&key, version, state);
                continue;
            }
            if begin_with_owner(&mut process, &stream, &snapshot) {
                continue;
            }
            let Some(key) = task_key(&stream) else { continue };
            let (version, state) = if let Ok(state) = State::deserialize(&snapshot.state) {
                (snapshot.head.version, state)
            } else {
                // Written by another build; the log still has everything.
                let loaded = realm.deciders.tasks.refresh(&stream).await?;
                (loaded.head.version, loaded.state.clone())
            };
            process.begin_with(key, version, state, now());
        }
        let (spent_at, spent) = realm.open_tasks.spending().await?;
        process.begin_with_spending(spent_at, spent);
        let mut tail = realm.log.tail(Selection::All, position).await?;
        loop {
            let batch = tail.next().await?;
            take_commits(&realm, &mut process, &batch);
            if batch.caught_up {
                break;
            }
        }
        let waiting = fill_gaps(&realm, &mut process).await?;
        let mut requests = SelectAll::new();
        for subject in subjects_served(&realm.config.subjects) {
            requests.push(realm.nats.subscribe(subject).await?);
        }
        // A lost flush only delays the first request by a retry of its sender.
        let _ = realm.nats.flush().await;
        tracing::info!(engine.open_tasks = count, engine.tracked = process.tracked(), "this engine leads");
        let (replies, outgoing) = mpsc::unbounded_channel();
        let writer = tokio::spawn(reply(realm.nats.clone(), outgoing));
        Ok(Self {
            realm,
            process,
            tail,
            requests,
            callers: HashMap::new(),
            calls: 0,
            waiting,
            under_way: JoinSet::new(),
            tool_calls: VecDeque::new(),
            calling: JoinSet::new(),
            replies,
            _writer: AbortOnDropHandle::new(writer),
            measured_at: tokio::time::Instant::now(),
        })
    }

    /// Reigns until deposed or stopped. Orders under way are dropped with the reign: their fate is the log's to tell.
    pub(crate) async fn run(mut self, term: &mut Term, stop: &CancellationToken) -> Result<End, ReignError> {
        let deposed = term.hold();
        tokio::pin!(deposed);
        loop {
            self.perform();
            let happening = tokio::select! {
                () = stop.cancelled() => Happening::Stopped,
                reason = &mut deposed => Happening::Deposed(reason),
                Some(done) = self.under_way.join_next() => Happening::Done(done),
                Some(done) = self.calling.join_next() => Happening::Done(done),
                Some(message) = self.requests.next() => Happening::Asked(message),
                batch = self.tail.next() => Happening::Commits(batch),
                () = until(self.process.next_due()) => Happening::TimePassed,
            };
            match happening {
                Happening::Stopped => return Ok(End::Stopped),
                Happening::Deposed(reason) => return Ok(End::Deposed(reason)),
                Happening::Done(Ok(Done::Ordered(order, settled))) => {
                    self.process.settled(&order, settled, now());
                }
                Happening::Done(Ok(Done::ClassOrdered(order, settled))) => {
                    self.process.class_settled(&order, settled, now());
                }
                Happening::Done(Ok(Done::ToolCalled(request, answer))) => {
                    self.process.tool_called(&request, answer, now());
                }
                Happening::Done(Ok(Done::Looked(key, loaded))) => self.process.loaded(&key, loaded, now()),
                Happening::Done(Ok(Done::Schedule(key, tick, seen))) => {
                    self.process.schedule_seen(&key, tick, seen, now());
                }
                Happening::Done(Err(panicked)) => return Err(ReignError::Panicked(panicked)),
                Happening::Asked(message) => self.asked(message),
                Happening::Commits(batch) => take_commits(&self.realm, &mut self.process, &batch?),
                Happening::TimePassed => {}
            }
        }
    }

    fn asked(&mut self, message: Message) {
        let Some(caller) = message.reply else { return };
        let Ok(request) = serde_json::from_slice::<Request>(&message.payload) else {
            // Another release; its client says so to its caller.
            let _ = self.replies.send((caller, Answer::Unreadable));
            return;
        };
        self.calls += 1;
        let call = CallId(self.calls);
        self.callers.insert(call, caller);
        let fresh = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
        self.process.ask(call, request, fresh, now());
    }

    /// Lets the process act, and carries out what it wants.
    fn perform(&mut self) {
        for effect in self.process.turn(now()) {
            match effect {
                Effect::Answer(call, answer) => {
                    if let Some(caller) = self.callers.remove(&call) {
                        // Fails only when the writer is gone, and then the reign is over.
                        let _ = self.replies.send((caller, answer));
                    }
                }
                Effect::CallTool(request) => self.tool_calls.push_back(request),
                Effect::Execute(_)
                | Effect::OrderClass(_)
                | Effect::Load(_)
                | Effect::Tick(_)
                | Effect::CheckAgent(_)
                | Effect::LoadSchedule(_) => self.waiting.push_back(effect),
            }
        }
        while self.under_way.len() < self.realm.config.orders_max {
            let tasks = Arc::clone(&self.realm.deciders.tasks);
            match self.waiting.pop_front() {
                Some(Effect::Execute(order)) => self.under_way.spawn(execute(tasks, order)),
                Some(Effect::Load(key)) => self.under_way.spawn(look(tasks, key)),
                Some(Effect::OrderClass(order)) => {
                    self.under_way.spawn(order_class(Arc::clone(&self.realm.classes), order))
                }
                Some(Effect::CallTool(request)) => {
                    self.tool_calls.push_back(request);
                    continue;
                }
                Some(Effect::Tick(order)) => {
                    let (deciders, grace_ms) = (self.realm.deciders.clone(), self.realm.config.grace_ms);
                    self.under_way.spawn(async move {
                        let seen = ticking::tick(&deciders, &order, grace_ms).await;
                        Done::Schedule(order.key, Some(order.tick), seen)
                    })
                }
                Some(Effect::CheckAgent(check)) => {
                    let deciders = self.realm.deciders.clone();
                    self.under_way.spawn(async move {
                        let seen = ticking::check_agent(&deciders, &check).await;
                        Done::Schedule(check.key, None, seen)
                    })
                }
                Some(Effect::LoadSchedule(key)) => {
                    let deciders = self.realm.deciders.clone();
                    self.under_way.spawn(async move {
                        let seen = ticking::look(&deciders, &key).await;
                        Done::Schedule(key, None, seen)
                    })
                }
                Some(Effect::Answer(..)) | None => break,
            };
        }
        while self.calling.len() < CALLS_MAX
            && let Some(request) = self.tool_calls.pop_front()
        {
            let tools = self.realm.tools.clone();
            self.calling.spawn(async move {
                let answer = tools.call(&request).await;
                Done::ToolCalled(request, answer)
            });
        }
        if self.measured_at.elapsed() >= MEASURE_EVERY {
            self.measured_at = tokio::time::Instant::now();
            let depth = self.process.depth();
            metrics::gauge!("capstan_engine_queued").set(depth.queued as f64);
            metrics::gauge!("capstan_engine_delayed").set(depth.delayed as f64);
            metrics::gauge!("capstan_engine_running").set(depth.running as f64);
            metrics::gauge!("capstan_engine_orders_waiting").set(self.waiting.len() as f64);
        }
    }
}

/// Takes the snapshot of an agent or a workspace; false when it is of something else.
fn begin_with_owner(process: &mut Process, stream: &StreamId, snapshot: &Snapshot) -> bool {
    let workspace = stream.workspace().as_str();
    if let (AgentCodec::CATEGORY, Ok(agent_id)) = (stream.category(), stream.id().parse()) {
        // Of another build: the agent counts as one without a budget until its next change.
        let state = agent::State::deserialize(&snapshot.state).unwrap_or_default();
        process.begin_with_agent(workspace, agent_id, state);
        return true;
    }
    if stream.category() == WorkspaceCodec::CATEGORY {
        let state = workspace::State::deserialize(&snapshot.state).unwrap_or_default();
        process.begin_with_workspace(workspace, state);
        return true;
    }
    false
}

/// Loads the tasks whose commits could not be folded, because they were over when the read models last looked: one
/// that was reopened since may live, and its session is then taken. Answers what else the process wants.
async fn fill_gaps(realm: &Realm, process: &mut Process) -> Result<VecDeque<Effect>, ReignError> {
    let mut waiting = VecDeque::new();
    loop {
        let effects = process.turn(now());
        if effects.is_empty() {
            return Ok(waiting);
        }
        for effect in effects {
            let Effect::Load(key) = effect else {
                waiting.push_back(effect);
                continue;
            };
            let Some(stream) = stream_of(&key) else { continue };
            let loaded = realm.deciders.tasks.refresh(&stream).await?;
            let (version, state) = (loaded.head.version, loaded.state.clone());
            process.loaded(&key, Loaded::State { version, state }, now());
        }
    }
}

async fn begin_with_schedule(
    realm: &Realm,
    process: &mut Process,
    key: ScheduleKey,
    stream: &StreamId,
    snapshot: &Snapshot,
) -> Result<(), ReadFailure> {
    let (version, state) = if let Ok(state) = schedule::State::deserialize(&snapshot.state) {
        (snapshot.head.version, state)
    } else {
        let loaded = realm.deciders.schedules.refresh(stream).await?;
        (loaded.head.version, loaded.state.clone())
    };
    process.begin_with_schedule(key, version, state);
    Ok(())
}

fn take_commits(realm: &Realm, process: &mut Process, batch: &TailBatch) {
    for recorded in &batch.commits {
        realm.deciders.tasks.adopt(recorded);
        realm.deciders.schedules.adopt(recorded);
        realm.classes.observe(recorded);
        if let Err(error) = process.commit(recorded, now()) {
            // The task stands still until a build that can read it leads; the others go on.
            metrics::counter!("capstan_engine_unreadable_commits_total").increment(1);
            tracing::error!(position = %recorded.position, stream = %recorded.commit.stream, %error, "a commit cannot be read");
        }
    }
}

async fn until(due: DateTime<Utc>) {
    let wait = (due - now()).to_std().unwrap_or(Duration::ZERO);
    tokio::time::sleep(wait.min(Duration::from_hours(1))).await;
}

async fn execute(tasks: Arc<Tasks>, order: Order) -> Done {
    let Some(stream) = stream_of(&order.key) else {
        return Done::Ordered(Box::new(order), Settled::Failed { is_retryable: false });
    };
    let context = CommandContext {
        correlation_id: order.key.task_id.0,
        expected_version: order.expected_version,
        ..context(order.command_id, order.name, order.at)
    };
    let settled = match tasks.execute(&stream, &order.command, &context).await {
        Ok(decided) => Settled::Decided {
            version: decided.loaded.head.version,
            state: decided.loaded.state.clone(),
            events: decided.events,
        },
        Err(DispatchError::Rejected(_) | DispatchError::VersionMismatch { .. }) => Settled::Refused,
        Err(error) => {
            let is_retryable = error.is_retryable();
            tracing::warn!(%stream, command = order.name, is_retryable, %error, "a command of the engine failed");
            Settled::Failed { is_retryable }
        }
    };
    Done::Ordered(Box::new(order), settled)
}

fn context(
    command_id: uuid::Uuid,
    command: &'static str,
    at: chrono::DateTime<chrono::Utc>,
) -> CommandContext {
    CommandContext {
        command_id,
        command,
        actor: Actor::Engine,
        correlation_id: command_id,
        causation_id: None,
        traceparent: None,
        occurred_at: at,
        idempotency: None,
        expected_version: None,
    }
}

async fn order_class(classes: Arc<Classes>, order: ClassOrder) -> Done {
    let stream = Workspace::new(&order.key.workspace)
        .and_then(|workspace| StreamId::new(workspace, ClassCodec::CATEGORY, &order.key.instance_key));
    let Ok(stream) = stream else {
        return Done::ClassOrdered(Box::new(order), ClassSettled::Failed { is_retryable: false });
    };
    let context = context(order.command_id, order.name, order.at);
    let settled = match classes.execute(&stream, &order.command, &context).await {
        Ok(decided) => ClassSettled::Decided {
            version: decided.loaded.head.version,
            state: decided.loaded.state.clone(),
        },
        Err(error) => {
            let is_retryable = error.is_retryable();
            tracing::warn!(%stream, command = order.name, is_retryable, %error, "a command to a class failed");
            ClassSettled::Failed { is_retryable }
        }
    };
    Done::ClassOrdered(Box::new(order), settled)
}

async fn look(tasks: Arc<Tasks>, key: Arc<StreamKey>) -> Done {
    let Some(stream) = stream_of(&key) else {
        return Done::Looked(key, Loaded::Failed { is_retryable: false });
    };
    let loaded = match tasks.refresh(&stream).await {
        Ok(loaded) => Loaded::State { version: loaded.head.version, state: loaded.state.clone() },
        Err(error) => {
            let is_retryable = error.is_retryable();
            tracing::warn!(%stream, is_retryable, %error, "a task could not be loaded");
            Loaded::Failed { is_retryable }
        }
    };
    Done::Looked(key, loaded)
}

fn stream_of(key: &StreamKey) -> Option<StreamId> {
    let workspace = Workspace::new(&key.workspace).ok()?;
    StreamId::new(workspace, TaskCodec::CATEGORY, &key.task_id.to_string()).ok()
}

/// Writes the answers, beside the loop: a slow connection must not stop the timers.
async fn reply(nats: async_nats::Client, mut outgoing: mpsc::UnboundedReceiver<(Subject, Answer)>) {
    while let Some((caller, answer)) = outgoing.recv().await {
        let Ok(payload) = serde_json::to_vec(&answer) else { continue };
        if let Err(error) = nats.publish(caller, payload.into()).await {
            // The caller asks again; attempts it was to be given go back when their lease ends.
            tracing::warn!(%error, "an answer could not be sent");
        }
    }
}
