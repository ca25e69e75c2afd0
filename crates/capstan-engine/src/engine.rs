//! One engine of possibly several: a candidate until it leads, and again after it was deposed.

use std::sync::Arc;
use std::time::Duration;

use capstan_dispatch::{Dispatcher, DispatcherConfig, NoSnapshots, OpenTasks};
use capstan_eventlog::EventLog;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::dependencies::Dependencies;
use crate::leader_error::LeaderError;
use crate::leader_loop::{End, LeaderLoop};
use crate::leadership::{Candidate, LeadershipError, Term};
use crate::metric;
use crate::tool_caller::ToolCaller;
use crate::{Deciders, EngineConfig};

/// Pause before another try after a failure.
const PAUSE: Duration = Duration::from_millis(500);

/// Starts engines.
#[derive(Debug)]
pub struct Engine;

/// A running engine. Stop it with the token it was started with; dropping the handle aborts it without resigning
/// leadership.
#[derive(Debug)]
pub struct EngineHandle {
    is_leading: watch::Receiver<bool>,
    engine: Option<JoinHandle<Result<(), EngineFailure>>>,
}

/// The reason an engine ended by itself; temporary failures never end it.
#[derive(Debug, thiserror::Error)]
pub enum EngineFailure {
    /// The log is not the one the read models were built from, or is damaged.
    #[error("run the engine: it cannot continue with this log")]
    Lead {
        /// The failure.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A defect.
    #[error("run the engine: it panicked")]
    Panicked(#[source] tokio::task::JoinError),
}

impl Engine {
    /// Starts an engine that runs for leader and leads when it wins, until `stop` is cancelled.
    ///
    /// Give it a separate NATS connection, or one that carries no appends.
    pub fn start(
        config: EngineConfig,
        log: Arc<dyn EventLog>,
        deciders: Deciders,
        open_tasks: Arc<dyn OpenTasks>,
        nats: async_nats::Client,
        stop: CancellationToken,
    ) -> EngineHandle {
        let (leading, is_leading) = watch::channel(false);
        // Histories of classes are short: the first use of one reads it whole.
        let classes = Dispatcher::new(Arc::clone(&log), Arc::new(NoSnapshots), DispatcherConfig::default());
        let dependencies = Dependencies {
            config,
            log,
            deciders,
            classes: Arc::new(classes),
            open_tasks,
            nats,
            tools: ToolCaller::default(),
        };
        let engine = tokio::spawn(run(dependencies, leading, stop));
        EngineHandle { is_leading, engine: Some(engine) }
    }
}

impl EngineHandle {
    /// True while this engine leads; changes are signalled.
    pub fn is_leading(&self) -> watch::Receiver<bool> {
        self.is_leading.clone()
    }

    /// Waits for the engine's end: after a stop, or because it cannot continue.
    pub async fn join(mut self) -> Result<(), EngineFailure> {
        match self.engine.take() {
            Some(engine) => engine.await.unwrap_or_else(|panicked| Err(EngineFailure::Panicked(panicked))),
            None => Ok(()),
        }
    }
}

impl Drop for EngineHandle {
    fn drop(&mut self) {
        if let Some(engine) = &self.engine {
            engine.abort();
        }
    }
}

async fn run(
    dependencies: Dependencies,
    leading: watch::Sender<bool>,
    stop: CancellationToken,
) -> Result<(), EngineFailure> {
    metrics::gauge!(metric::LEADER).set(0.0);
    let engine_id = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
    while !stop.is_cancelled() {
        let term = tokio::select! {
            () = stop.cancelled() => break,
            term = win(&dependencies, engine_id) => term,
        };
        let mut term = match term {
            Ok(term) => term,
            Err(error) => {
                tracing::warn!(%error, "the engine's candidacy failed");
                pause(&stop).await;
                continue;
            }
        };
        let begun = tokio::select! {
            () = stop.cancelled() => { term.resign().await; break }
            begun = begin(&dependencies, &mut term) => begun,
        };
        let ended = match begun {
            Ok(Some(leader)) => {
                metrics::gauge!(metric::LEADER).set(1.0);
                leading.send_replace(true);
                let ended = leader.run(&mut term, &stop).await;
                leading.send_replace(false);
                metrics::gauge!(metric::LEADER).set(0.0);
                ended
            }
            Ok(None) => Ok(End::Deposed(LeadershipError::Deposed)),
            Err(error) => Err(error),
        };
        match ended {
            Ok(End::Deposed(reason)) => {
                tracing::warn!(epoch = term.epoch(), %reason, "this engine no longer leads");
            }
            Ok(End::Stopped) => {
                term.resign().await;
                break;
            }
            Err(error) => {
                term.resign().await;
                if !error.is_retryable() {
                    tracing::error!(%error, "the engine cannot continue");
                    return Err(EngineFailure::Lead { source: Box::new(error) });
                }
                tracing::warn!(%error, "the engine starts again");
                pause(&stop).await;
            }
        }
    }
    Ok(())
}

async fn win(dependencies: &Dependencies, engine_id: uuid::Uuid) -> Result<Term, LeadershipError> {
    let EngineConfig { bucket, replicas, leader_ttl, .. } = &dependencies.config;
    let nats = dependencies.nats.clone();
    let mut candidate = Candidate::new(nats, bucket, *replicas, engine_id, *leader_ttl).await?;
    candidate.win().await
}

/// Prepares the loop while holding the leadership; none when that was lost meanwhile.
async fn begin(dependencies: &Dependencies, term: &mut Term) -> Result<Option<LeaderLoop>, LeaderError> {
    tokio::select! {
        _ = term.hold() => Ok(None),
        leader = LeaderLoop::begin(dependencies.clone()) => leader.map(Some),
    }
}

async fn pause(stop: &CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(PAUSE) => {}
    }
}
