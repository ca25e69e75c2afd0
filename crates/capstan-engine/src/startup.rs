//! Startup of a leader: open tasks, schedules, classes, budgets and settings from their snapshots, then the log to its
//! end.

use std::collections::VecDeque;

use capstan_contract::causes::explain;
use capstan_contract::{AgentCodec, TaskCodec, WorkspaceCodec};
use capstan_dispatch::{ReadFailure, Snapshot};
use capstan_domain::task::State;
use capstan_domain::{agent, class, schedule, workspace};
use capstan_envelope::{Codec as _, StreamId};
use capstan_eventlog::{Selection, Tail, TailBatch};
use serde::Deserialize as _;

use crate::clock::now;
use crate::commands::stream_of;
use crate::config::EngineConfig;
use crate::dependencies::Dependencies;
use crate::leader_error::LeaderError;
use crate::metric;
use crate::process::{ClassKey, Effect, Loaded, Process, ProcessConfig, ScheduleKey, task_key};

/// A process that knows the log to its end.
pub(crate) struct Started {
    pub(crate) process: Process,
    /// The log after that.
    pub(crate) tail: Tail,
    /// Effects that are due, loads excepted.
    pub(crate) waiting: VecDeque<Effect>,
}

/// Loads the snapshots and reads the log to its end.
pub(crate) async fn start(dependencies: &Dependencies) -> Result<Started, LeaderError> {
    let EngineConfig { lease_ms, renew_every_ms, grace_ms, matching, .. } = dependencies.config;
    let config = ProcessConfig { lease_ms, renew_every_ms, grace_ms, matching };
    let mut process = Process::new(config, now());
    let (position, open) = dependencies.open_tasks.open_tasks().await?;
    let count = open.len();
    for (stream, snapshot) in open {
        begin_with(dependencies, &mut process, &stream, &snapshot).await?;
    }
    let (spent_at, spent) = dependencies.open_tasks.spending().await?;
    process.begin_with_spending(spent_at, spent);
    let mut tail = dependencies.log.tail(Selection::All, position).await?;
    loop {
        let batch = tail.next().await?;
        take_commits(dependencies, &mut process, &batch);
        if batch.caught_up {
            break;
        }
    }
    let waiting = load_gaps(dependencies, &mut process).await?;
    tracing::info!(engine.open_tasks = count, engine.tracked = process.tracked(), "this engine leads");
    Ok(Started { process, tail, waiting })
}

/// Takes a snapshot. One of another build is replaced by the log, which has everything; an agent or workspace without one
/// counts as having no budget and no tools until its next change.
async fn begin_with(
    dependencies: &Dependencies,
    process: &mut Process,
    stream: &StreamId,
    snapshot: &Snapshot,
) -> Result<(), ReadFailure> {
    let deciders = &dependencies.deciders;
    let version = snapshot.head.version;
    let workspace = stream.workspace().as_str();
    if let Some(key) = ScheduleKey::from_stream(stream) {
        let (version, state) = if let Ok(state) = schedule::State::deserialize(&snapshot.state) {
            (version, state)
        } else {
            let loaded = deciders.schedules.refresh(stream).await?;
            (loaded.head.version, loaded.state.clone())
        };
        process.begin_with_schedule(key, version, state);
    } else if let Some(key) = ClassKey::from_stream(stream) {
        let (version, state) = if let Ok(state) = class::State::deserialize(&snapshot.state) {
            (version, state)
        } else {
            let loaded = dependencies.classes.refresh(stream).await?;
            (loaded.head.version, loaded.state.clone())
        };
        process.begin_with_class(&key, version, state);
    } else if let (AgentCodec::CATEGORY, Ok(agent_id)) = (stream.category(), stream.id().parse()) {
        let state = agent::State::deserialize(&snapshot.state).unwrap_or_default();
        process.begin_with_agent(workspace, agent_id, state);
    } else if stream.category() == WorkspaceCodec::CATEGORY {
        let state = workspace::State::deserialize(&snapshot.state).unwrap_or_default();
        process.begin_with_workspace(workspace, state);
    } else if let Some(key) = task_key(stream) {
        let (version, state) = if let Ok(state) = State::deserialize(&snapshot.state) {
            (version, state)
        } else {
            let loaded = deciders.tasks.refresh(stream).await?;
            (loaded.head.version, loaded.state.clone())
        };
        process.begin_with(&key, version, &state, now());
    }
    Ok(())
}

/// Loads the tasks whose commits were not folded, because they were over at the position of the snapshots: one that was
/// reopened since may live, and its session is then taken. Returns the other effects.
async fn load_gaps(
    dependencies: &Dependencies,
    process: &mut Process,
) -> Result<VecDeque<Effect>, LeaderError> {
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
            let Some(stream) = stream_of::<TaskCodec>(&key.workspace, &key.task_id.to_string()) else {
                continue;
            };
            let loaded = dependencies.deciders.tasks.refresh(&stream).await?;
            let (version, state) = (loaded.head.version, loaded.state.clone());
            process.loaded(&key, &Loaded::State { version, state }, now());
        }
    }
}

/// Takes a batch of the log.
pub(crate) fn take_commits(dependencies: &Dependencies, process: &mut Process, batch: &TailBatch) {
    for recorded in &batch.commits {
        let memory = dependencies.deciders.tasks.adopt(recorded);
        let memory = memory.as_deref().map(|loaded| (loaded.head.version, &loaded.state));
        dependencies.deciders.schedules.adopt(recorded);
        dependencies.classes.observe(recorded);
        if let Err(error) = process.commit(recorded, memory, now()) {
            // Its task does nothing until a build that can read it leads; the others continue.
            metrics::counter!(metric::UNREADABLE_COMMITS).increment(1);
            tracing::error!(position = %recorded.position, stream = %recorded.commit.stream, error = explain(&error), "a commit cannot be read");
        }
    }
}
