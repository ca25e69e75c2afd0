//! One engine of possibly several: a candidate until it leads, and again after it was deposed.

use std::sync::Arc;
use std::time::Duration;

use capstan_contract::causes::explain;
use capstan_dispatch::OpenTasks;
use capstan_eventlog::EventLog;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::dependencies::{Connect, Dependencies};
use crate::leader_error::LeaderError;
use crate::leader_loop::{End, LeaderLoop};
use crate::leadership::{Candidate, Leadership, LeadershipError, Term, unavailable};
use crate::metric;
use crate::own_thread::OwnThread;
use crate::tool_caller::ToolCaller;
use crate::{Deciders, EngineConfig};

/// Pause before another try after a failure.
const PAUSE: Duration = Duration::from_millis(500);
/// The same after a failure that only an operator or another build can mend. Long enough for another engine to win.
const LONG_PAUSE: Duration = Duration::from_secs(3);

/// Starts engines.
#[derive(Debug)]
pub struct Engine;

/// A running engine. Stop it with the token it was started with; dropping the handle aborts it without resigning
/// leadership.
#[derive(Debug)]
pub struct EngineHandle {
    is_leading: watch::Receiver<bool>,
    obstacle: watch::Receiver<Option<String>>,
    engine: Option<JoinHandle<()>>,
}

/// A defect ended the engine; no failure does.
#[derive(Debug, thiserror::Error)]
#[error("run the engine: it panicked")]
pub struct EnginePanicked(#[source] tokio::task::JoinError);

/// What a process tells about its engine.
struct Told {
    is_leading: watch::Sender<bool>,
    obstacle: watch::Sender<Option<String>>,
}

impl Engine {
    /// Starts an engine that runs for leader and leads when it wins, until `stop` is cancelled.
    ///
    /// Give it a separate NATS connection, or one that carries no appends. Leadership is kept over a connection of its own,
    /// which it opens with `connect`.
    pub fn start(
        config: EngineConfig,
        log: Arc<dyn EventLog>,
        deciders: Deciders,
        open_tasks: Arc<dyn OpenTasks>,
        nats: async_nats::Client,
        connect: Connect,
        stop: CancellationToken,
    ) -> EngineHandle {
        let ((leading, is_leading), (obstacle_sender, obstacle)) =
            (watch::channel(false), watch::channel(None));
        let told = Told { is_leading: leading, obstacle: obstacle_sender };
        let dependencies =
            Dependencies { config, log, deciders, open_tasks, nats, connect, tools: ToolCaller::default() };
        let engine = tokio::spawn(run(dependencies, told, stop));
        EngineHandle { is_leading, obstacle, engine: Some(engine) }
    }
}

impl EngineHandle {
    /// True while this engine leads; changes are signalled.
    pub fn is_leading(&self) -> watch::Receiver<bool> {
        self.is_leading.clone()
    }

    /// The reason this engine cannot lead, if time alone will not mend it: the log is not the one the read models were
    /// built from, or holds something that cannot be read. It keeps trying. For operators; names no addresses.
    pub fn obstacle(&self) -> watch::Receiver<Option<String>> {
        self.obstacle.clone()
    }

    /// Waits for the engine's end after a stop.
    pub async fn join(mut self) -> Result<(), EnginePanicked> {
        match self.engine.take() {
            Some(engine) => engine.await.map_err(EnginePanicked),
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

async fn run(dependencies: Dependencies, told: Told, stop: CancellationToken) {
    metrics::gauge!(metric::LEADER).set(0.0);
    let engine_id = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
    let thread = loop {
        match OwnThread::start("capstan leader") {
            Ok(thread) => break thread,
            Err(error) => tracing::warn!(error = explain(&error), "the thread for leadership did not start"),
        }
        pause(&stop, LONG_PAUSE).await;
        if stop.is_cancelled() {
            return;
        }
    };
    let mut nats = None;
    while !stop.is_cancelled() {
        let term = tokio::select! {
            () = stop.cancelled() => break,
            term = win(&dependencies, engine_id, &thread, &mut nats) => term,
        };
        let mut leadership = match term {
            Ok(term) => term.keep(&thread),
            Err(error) => {
                tracing::warn!(error = explain(&error), "the engine's candidacy failed");
                pause(&stop, PAUSE).await;
                continue;
            }
        };
        let begun = tokio::select! {
            () = stop.cancelled() => { leadership.resign().await; break }
            begun = begin(&dependencies, &mut leadership) => begun,
        };
        let ended = match begun {
            Ok(Begun::Leader(leader)) => {
                metrics::gauge!(metric::LEADER).set(1.0);
                told.obstacle.send_replace(None);
                told.is_leading.send_replace(true);
                let ended = leader.run(&mut leadership, &stop).await;
                told.is_leading.send_replace(false);
                metrics::gauge!(metric::LEADER).set(0.0);
                ended
            }
            Ok(Begun::Deposed(reason)) => Ok(End::Deposed(reason)),
            Err(error) => Err(error),
        };
        match ended {
            Ok(End::Deposed(reason)) => {
                tracing::warn!(
                    epoch = leadership.epoch(),
                    reason = explain(&reason),
                    "this engine no longer leads"
                );
            }
            Ok(End::Stopped) => {
                leadership.resign().await;
                break;
            }
            Err(error) => {
                leadership.resign().await;
                if error.is_retryable() {
                    told.obstacle.send_replace(None);
                    tracing::warn!(error = explain(&error), "the engine starts again");
                    pause(&stop, PAUSE).await;
                } else {
                    // Read models that are rebuilt, or a log that is restored, mend it while this process runs.
                    let obstacle = Some(error.obstacle());
                    if told.obstacle.send_replace(obstacle.clone()) != obstacle {
                        tracing::error!(error = explain(&error), "the engine cannot lead; it keeps trying");
                    }
                    pause(&stop, LONG_PAUSE).await;
                }
            }
        }
    }
}

/// Wins leadership in this thread, over the connection `nats`, which is opened there first.
async fn win(
    dependencies: &Dependencies,
    engine_id: uuid::Uuid,
    thread: &OwnThread,
    nats: &mut Option<async_nats::Client>,
) -> Result<Term, LeadershipError> {
    let nats = if let Some(nats) = nats {
        nats.clone()
    } else {
        let opened = thread.spawn((dependencies.connect)()).await;
        nats.insert(opened.map_err(unavailable)?.map_err(unavailable)?).clone()
    };
    let EngineConfig { bucket, replicas, leader_ttl, .. } = dependencies.config.clone();
    let won = thread.spawn(async move {
        let mut candidate = Candidate::new(nats, &bucket, replicas, engine_id, leader_ttl).await?;
        candidate.win().await
    });
    won.await.map_err(unavailable)?
}

/// The end of the preparations.
enum Begun {
    Leader(Box<LeaderLoop>),
    Deposed(LeadershipError),
}

/// Prepares the loop while leadership is kept.
async fn begin(dependencies: &Dependencies, leadership: &mut Leadership) -> Result<Begun, LeaderError> {
    tokio::select! {
        reason = leadership.lost() => Ok(Begun::Deposed(reason)),
        leader = LeaderLoop::begin(dependencies.clone()) => Ok(Begun::Leader(Box::new(leader?))),
    }
}

async fn pause(stop: &CancellationToken, pause: Duration) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(pause) => {}
    }
}
