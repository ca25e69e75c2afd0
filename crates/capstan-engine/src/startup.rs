//! Startup of a leader: open tasks, schedules, classes, budgets and settings from their snapshots, then the log to its
//! end.
//!
//! However much there is, it comes in small portions with a chance for everything else in between, and nothing but facts
//! stays of it.

use std::collections::VecDeque;
use std::sync::Arc;

use capstan_contract::causes::explain;
use capstan_contract::{AgentCodec, TaskCodec, WorkspaceCodec};
use capstan_dispatch::{OpenStream, ReadFailure, SnapshotError};
use capstan_domain::matching::StreamKey;
use capstan_domain::task::State;
use capstan_domain::{agent, class, schedule, workspace};
use capstan_envelope::{Codec as _, Position, Recorded};
use capstan_eventlog::{Selection, Tail};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::clock::now;
use crate::commands::stream_of;
use crate::config::EngineConfig;
use crate::dependencies::Dependencies;
use crate::from_log::fold_log;
use crate::leader_error::LeaderError;
use crate::process::{ClassKey, Effect, Loaded, Process, ProcessConfig, ReducedTask, ScheduleKey, task_key};
use crate::unreadable::pass_over;

/// Most commits or states taken before others get their turn.
pub(crate) const PORTION: usize = 256;
/// Commits the read models may be behind, if that is more than half the log: each may need a load.
const BEHIND_MAX: u64 = 20_000;
/// Chunks of states that are parsed before they are taken.
const CHUNKS_AHEAD: usize = 8;
/// Most loads of missed tasks under way at once.
const LOADS_MAX: usize = 64;

/// A process that knows the log to its end.
pub(crate) struct Started {
    pub(crate) process: Process,
    /// The log after that.
    pub(crate) tail: Tail,
    /// Effects that are due, loads excepted.
    pub(crate) waiting: VecDeque<Effect>,
}

/// Loads the snapshots and reads the log to its end. Without snapshots that are near it, the log alone has everything.
pub(crate) async fn start(dependencies: &Dependencies) -> Result<Started, LeaderError> {
    let begun_at = tokio::time::Instant::now();
    let (mut process, position) = match from_rows(dependencies).await {
        Ok(Some(begun)) => begun,
        Ok(None) => fold_log(dependencies, empty(&dependencies.config)).await?,
        Err(LeaderError::OpenTasks(error)) => {
            tracing::warn!(error = explain(&error), "the engine begins from the log alone");
            fold_log(dependencies, empty(&dependencies.config)).await?
        }
        Err(error) => return Err(error),
    };
    let mut tail = dependencies.log.tail(Selection::All, position).await?;
    loop {
        let batch = tail.next().await?;
        for portion in batch.commits.chunks(PORTION) {
            take_commits(dependencies, &mut process, portion)?;
            tokio::task::yield_now().await;
        }
        if batch.caught_up {
            break;
        }
    }
    let waiting = load_gaps(dependencies, &mut process).await?;
    process.lead(now());
    let seconds = begun_at.elapsed().as_secs_f64();
    tracing::info!(engine.tracked = process.tracked(), seconds, "this engine leads");
    Ok(Started { process, tail, waiting })
}

/// A process with the snapshots, and their position; none when the log is faster.
async fn from_rows(dependencies: &Dependencies) -> Result<Option<(Process, Position)>, LeaderError> {
    let open = dependencies.open_tasks.open_tasks().await?;
    let head = dependencies.log.head().await?;
    let behind = head.commits_since(open.position);
    if behind > BEHIND_MAX && behind > head.sequence() / 2 {
        tracing::warn!(behind, "the read models are far behind: the engine begins from the log alone");
        return Ok(None);
    }
    let mut process = empty(&dependencies.config);
    // Rows are read and parsed on one processor while the process takes them on another.
    let (sender, mut states) = mpsc::channel(CHUNKS_AHEAD);
    let chunks = open.chunks;
    let _reading = AbortOnDropHandle::new(tokio::spawn(read_ahead(chunks, sender)));
    while let Some(chunk) = states.recv().await {
        for state in chunk? {
            begin_with(dependencies, &mut process, &state).await?;
        }
        tokio::task::yield_now().await;
    }
    let (spent_at, spent) = dependencies.open_tasks.spending().await?;
    process.begin_with_spending(spent_at, spent);
    Ok(Some((process, open.position)))
}

/// A state the leader begins with.
enum Begin {
    Task(StreamKey, ReducedTask),
    /// Something else, or a task that another build wrote in another shape.
    Other(OpenStream),
}

/// Parses states ahead of the process that takes them.
async fn read_ahead(
    mut chunks: BoxStream<'static, Result<Vec<OpenStream>, SnapshotError>>,
    sender: mpsc::Sender<Result<Vec<Begin>, SnapshotError>>,
) {
    let parse = |open: OpenStream| match task_key(&open.stream) {
        Some(key) => match read::<State>(open.state.get()) {
            Some(state) => Begin::Task(key, ReducedTask::of_stored(open.version, state)),
            None => Begin::Other(open),
        },
        None => Begin::Other(open),
    };
    while let Some(chunk) = chunks.next().await {
        let states = chunk.map(|chunk| chunk.into_iter().map(parse).collect());
        if sender.send(states).await.is_err() {
            return;
        }
        // Sending does not wait while there is room, and whoever keeps leadership may be behind this task.
        tokio::task::yield_now().await;
    }
}

fn empty(config: &EngineConfig) -> Process {
    let EngineConfig { lease_ms, renew_every_ms, grace_ms, matching, .. } = *config;
    Process::new(ProcessConfig { lease_ms, renew_every_ms, grace_ms, matching }, now())
}

/// Takes a snapshot. One of another build is replaced by the log, which has everything; an agent or workspace without one
/// counts as having no budget and no tools until its next change.
async fn begin_with(
    dependencies: &Dependencies,
    process: &mut Process,
    begin: &Begin,
) -> Result<(), ReadFailure> {
    let deciders = &dependencies.deciders;
    let OpenStream { stream, version, state } = match begin {
        Begin::Task(key, task) => {
            process.begin_with(key, task, now());
            return Ok(());
        }
        Begin::Other(open) => open,
    };
    let workspace = stream.workspace().as_str();
    if let Some(key) = task_key(stream) {
        let loaded = deciders.tasks.refresh(stream).await?;
        let task = ReducedTask::new(loaded.head.version, loaded.state.clone());
        process.begin_with(&key, &task, now());
    } else if let Some(key) = ScheduleKey::from_stream(stream) {
        let (version, state) = if let Some(state) = read::<schedule::State>(state.get()) {
            (*version, state)
        } else {
            let loaded = deciders.schedules.refresh(stream).await?;
            (loaded.head.version, loaded.state.clone())
        };
        process.begin_with_schedule(key, version, state);
    } else if let Some(key) = ClassKey::from_stream(stream) {
        let (version, state) = if let Some(state) = read::<class::State>(state.get()) {
            (*version, state)
        } else {
            let loaded = deciders.classes.refresh(stream).await?;
            (loaded.head.version, loaded.state.clone())
        };
        process.begin_with_class(&key, version, state);
    } else if let (AgentCodec::CATEGORY, Ok(agent_id)) = (stream.category(), stream.id().parse()) {
        let state = read::<agent::State>(state.get()).unwrap_or_default();
        process.begin_with_agent(workspace, agent_id, state);
    } else if stream.category() == WorkspaceCodec::CATEGORY {
        let state = read::<workspace::State>(state.get()).unwrap_or_default();
        process.begin_with_workspace(workspace, state);
    }
    Ok(())
}

/// A stored state; none when another build wrote it in another shape.
fn read<S: DeserializeOwned>(state: &str) -> Option<S> {
    serde_json::from_str(state).ok()
}

/// Loads the tasks whose commits were not folded, because they were over at the position of the snapshots: one that was
/// reopened since may live, and its session is then taken. Returns the other effects.
async fn load_gaps(
    dependencies: &Dependencies,
    process: &mut Process,
) -> Result<VecDeque<Effect>, LeaderError> {
    let mut waiting = VecDeque::new();
    loop {
        // No timer fires before this is done.
        let mut gaps = Vec::new();
        for effect in process.turn(0, now()) {
            match effect {
                Effect::Load(key) => gaps.push(key),
                other @ (Effect::Execute(_)
                | Effect::OrderClass(_)
                | Effect::CallTool(_)
                | Effect::Tick(_)
                | Effect::CheckAgent(_)
                | Effect::LoadSchedule(_)
                | Effect::Answer(..)) => waiting.push_back(other),
            }
        }
        if gaps.is_empty() && !process.is_reviewing() {
            return Ok(waiting);
        }
        tokio::task::yield_now().await;
        let loads = gaps.into_iter().map(|key| load(dependencies, key));
        let mut loads = futures_util::stream::iter(loads).buffer_unordered(LOADS_MAX);
        while let Some(loaded) = loads.next().await {
            let (key, loaded) = loaded?;
            process.loaded(&key, &loaded, now());
        }
    }
}

async fn load(dependencies: &Dependencies, key: StreamKey) -> Result<(StreamKey, Loaded), ReadFailure> {
    let Some(stream) = stream_of::<TaskCodec>(&key.workspace, &key.task_id.to_string()) else {
        return Ok((key, Loaded::Failed { is_retryable: false }));
    };
    let loaded = dependencies.deciders.tasks.refresh(&stream).await?;
    Ok((key, Loaded::State { version: loaded.head.version, state: loaded.state.clone() }))
}

/// Takes commits of the log. Fails at one that a newer build wrote.
pub(crate) fn take_commits(
    dependencies: &Dependencies,
    process: &mut Process,
    commits: &[Arc<Recorded>],
) -> Result<(), LeaderError> {
    for recorded in commits {
        let memory = dependencies.deciders.tasks.adopt(recorded);
        let memory = memory.as_deref().map(|loaded| (loaded.head.version, &loaded.state));
        dependencies.deciders.schedules.adopt(recorded);
        dependencies.deciders.classes.observe(recorded);
        if let Err(error) = process.commit(recorded, memory, now()) {
            pass_over(recorded, error)?;
        }
    }
    Ok(())
}
