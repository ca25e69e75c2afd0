//! The runner: the states of a projector and the transitions between them.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use capstan_contract::causes::explain;
use capstan_envelope::Position;
use capstan_eventlog::{EventLog, ReadError};
use chrono::{DateTime, Utc};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::applier::{Applier, ApplyError};
use crate::checkpoint::{self, diverged};
use crate::commits::{Arrived, Reader, first_unknown};
use crate::config::ProjectorConfig;
use crate::fact::Decoded;
use crate::generation::{self, GenerationError};
use crate::metric;
use crate::migrate::MigrateError;
use crate::projector::lag::{LOG_TIMEOUT, Lag};
use crate::read_models::ReadModels;
use crate::rebuild::{RebuildError, Which, rebuild};
use crate::search::trail;
use crate::status::{ProjectorState, ProjectorStatus};

/// Interval at which a projector on standby tries to acquire the lease.
const STANDBY: Duration = Duration::from_millis(500);
/// Interval at which a diverged projector checks the log again.
const DIVERGED: Duration = Duration::from_secs(1);
/// Interval at which the head of the log is read for the lag.
const HEAD_EVERY: Duration = Duration::from_secs(1);
/// Number of commits in the last batch from which the projector counts as busy.
const BUSY_COMMITS: usize = 32;
/// Time a busy projector gathers commits: fewer batches cost less, for it and for Postgres. An idle one applies what has
/// arrived at once.
const BUSY_LINGER: Duration = Duration::from_millis(10);
/// Number of commits from which gathering more is not worth a wait.
const ENOUGH_COMMITS: usize = 1_000;
/// Maximum of the configured linger.
const LINGER_MAX: Duration = Duration::from_millis(5);

/// The reason a projector stopped following.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("keep the lease: another projector has taken over")]
    FenceClosed,
    #[error("follow the log: {0}")]
    Diverged(String),
    #[error("continue at {0}: {1}")]
    Unknown(Position, String),
    #[error("project")]
    Apply(#[source] ApplyError),
    #[error("project")]
    Postgres(#[from] tokio_postgres::Error),
    #[error("project")]
    Log(#[source] ReadError),
    #[error("project")]
    Tables(#[from] GenerationError),
    #[error("prepare the tables")]
    Migrate(#[from] MigrateError),
    #[error("rebuild outdated tables")]
    Rebuild(#[from] RebuildError),
}

impl From<ApplyError> for Ended {
    fn from(error: ApplyError) -> Self {
        if matches!(error, ApplyError::FenceClosed) { Self::FenceClosed } else { Self::Apply(error) }
    }
}

impl From<ReadError> for Ended {
    fn from(error: ReadError) -> Self {
        if matches!(error, ReadError::Diverged { .. }) {
            Self::Diverged(explain(&error))
        } else {
            Self::Log(error)
        }
    }
}

/// What a batch tells of the projector once it is written.
#[derive(Debug, Default)]
struct News {
    /// Time of its last commit.
    recorded_at: Option<DateTime<Utc>>,
    /// True when it was at the end of the log when it was read.
    caught_up: bool,
}

pub(super) struct Runner {
    log: Arc<dyn EventLog>,
    read_models: ReadModels,
    config: ProjectorConfig,
    status: watch::Sender<ProjectorStatus>,
    stop: CancellationToken,
}

impl Runner {
    pub(super) fn new(
        log: Arc<dyn EventLog>,
        read_models: ReadModels,
        config: ProjectorConfig,
        status: watch::Sender<ProjectorStatus>,
        stop: CancellationToken,
    ) -> Self {
        Self { log, read_models, config, status, stop }
    }

    pub(super) async fn run(self) {
        // In a task of its own: it must not hold up the batches.
        let indexing = trail::follow(self.read_models.clone(), self.config.search_block);
        let _indexing = AbortOnDropHandle::new(tokio::spawn(indexing));
        tokio::select! {
            () = self.keep_projecting() => {}
            () = self.watch_lag() => {}
        }
        self.enter(ProjectorState::Stopped);
    }

    async fn keep_projecting(&self) {
        let mut pause = Duration::from_millis(50);
        while !self.stop.is_cancelled() {
            let started = Instant::now();
            let wait = match self.hold_lease().await {
                Ok(None) => STANDBY,
                Ok(Some(())) => break,
                Err(Ended::FenceClosed) => {
                    // Another projector took over, or a rebuild switched the tables: trying the lease tells.
                    tracing::info!("the projector lost its epoch");
                    Duration::ZERO
                }
                Err(Ended::Diverged(reason)) => {
                    self.enter(ProjectorState::Diverged { reason });
                    DIVERGED
                }
                Err(Ended::Unknown(position, reason)) => {
                    self.enter(ProjectorState::WaitingForUpgrade { position, reason });
                    // Only another build can continue, possibly in another process.
                    self.stop.cancelled().await;
                    break;
                }
                Err(error) => {
                    pause = if started.elapsed() > Duration::from_secs(10) {
                        Duration::from_millis(50)
                    } else {
                        (pause * 2).min(Duration::from_secs(2))
                    };
                    self.enter(ProjectorState::Failing { reason: explain(&error) });
                    pause
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.stop.cancelled() => {}
            }
        }
    }

    /// Acquires the lease and follows the log. `None` when another projector has the lease, `Some` after a stop.
    async fn hold_lease(&self) -> Result<Option<()>, Ended> {
        let session = self.read_models.session().await?;
        let lease_ms = self.config.lease.as_millis() as i64;
        let missing = generation::missing(session.client()).await?;
        if !missing.is_empty() {
            self.enter(ProjectorState::Rebuilding);
            self.read_models.migrate().await?;
            let missing = generation::missing(session.client()).await?;
            if !missing.is_empty() {
                let which = Which::Some(missing.iter().map(|model| model.name.to_owned()).collect());
                rebuild(&self.log, &self.read_models, &which, &self.config).await?;
            }
        }
        let Some(checkpoint) = checkpoint::acquire(session.client(), &self.config.owner, lease_ms).await?
        else {
            self.enter(ProjectorState::Standby);
            let _ = self.read_models.position().await;
            return Ok(None);
        };
        let epoch = checkpoint.epoch;
        let identity = match self.log.identity().await {
            Ok(identity) => identity,
            Err(error) => {
                checkpoint::release(session.client(), epoch).await?;
                return Err(error.into());
            }
        };
        if let Some(reason) = diverged(&self.log, &checkpoint, &identity).await? {
            // Another replica would find the same, but may have been started for the repair.
            checkpoint::release(session.client(), epoch).await?;
            return Err(Ended::Diverged(reason));
        }
        self.read_models.progress().reset(checkpoint.position);
        let memory = &self.config.memory;
        let mut applier =
            Applier::start(session, checkpoint, identity, lease_ms, self.log.archived(), memory).await?;
        self.enter(ProjectorState::CatchingUp);
        let reader = Reader::after(&self.log, applier.position(), memory);
        let outcome = self.follow(&mut applier, reader).await;
        if matches!(outcome, Ok(()) | Err(Ended::Unknown(..))) {
            checkpoint::release(applier.session().client(), epoch).await?;
        }
        outcome.map(Some)
    }

    async fn follow(&self, applier: &mut Applier, mut reader: Reader) -> Result<(), Ended> {
        let mut renew = tokio::time::interval(self.config.renew_every);
        renew.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.reached(applier);
        let (mut busy, mut news) = (false, News::default());
        let bytes_max = self.config.memory.batch_bytes();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => {
                    return if applier.is_writing() { self.finish(applier, &news).await } else { Ok(()) };
                }
                () = applier.ended(), if applier.is_writing() => self.finish(applier, &news).await?,
                // A write extends the lease, too.
                _ = renew.tick(), if !applier.is_writing() => {
                    let lease_ms = self.config.lease.as_millis() as i64;
                    if !checkpoint::renew(applier.session().client(), applier.epoch(), lease_ms).await? {
                        return Err(Ended::FenceClosed);
                    }
                }
                first = reader.next() => {
                    let first = match first {
                        Ok(first) => first,
                        Err(failed) => {
                            // Dropping the applier would roll back the commits before the one that cannot be read.
                            if applier.is_writing() {
                                self.finish(applier, &news).await?;
                            }
                            return Err(failed.into());
                        }
                    };
                    let mut gathering = pin!(self.gather(first, &mut reader, busy, bytes_max));
                    let batch = loop {
                        tokio::select! {
                            batch = &mut gathering => break batch,
                            () = applier.ended(), if applier.is_writing() => self.finish(applier, &news).await?,
                        }
                    };
                    busy = batch.commits.len() >= BUSY_COMMITS;
                    news = self.apply(applier, batch).await?;
                    if !applier.is_writing() {
                        self.finish(applier, &news).await?;
                    }
                }
            }
        }
    }

    /// Adds the commits that have arrived since to the first ones, and waits for more if configured or busy. A failure behind
    /// them is met when they are applied: otherwise a commit that cannot be read would keep those before it out.
    async fn gather(&self, first: Arrived, reader: &mut Reader, busy: bool, bytes_max: usize) -> Arrived {
        let mut batch = first;
        let linger = self.config.linger.min(LINGER_MAX).max(if busy { BUSY_LINGER } else { Duration::ZERO });
        let until = tokio::time::Instant::now() + linger;
        while batch.commits.len() < self.config.batch_commits_max && batch.held.bytes() < bytes_max {
            let more = match reader.ready() {
                None if !linger.is_zero() && batch.commits.len() < ENOUGH_COMMITS => {
                    tokio::time::timeout_at(until, reader.next()).await.ok()
                }
                ready => ready,
            };
            let more = match more {
                Some(Ok(more)) => more,
                Some(Err(failed)) => {
                    reader.put_back(failed);
                    break;
                }
                None => break,
            };
            batch.append(more);
        }
        batch
    }

    /// Applies a batch, whose last part is being written afterwards.
    async fn apply(&self, applier: &mut Applier, batch: Arrived) -> Result<News, Ended> {
        let unknown = first_unknown(&batch.commits)
            .map(|(index, reason)| (index, Ended::Unknown(batch.commits[index].recorded.position, reason)));
        let known = unknown.as_ref().map_or(batch.commits.len(), |(index, _)| *index);
        let recorded_at = batch.commits.last().map(|last| last.recorded.recorded_at);
        let mut held = batch.held;
        let mut commits = batch.commits.into_iter().take(known);
        loop {
            let commits_max = self.config.batch_commits_max.clamp(1, applier.commits_max());
            let part: Vec<Decoded> = commits.by_ref().take(commits_max).collect();
            if part.is_empty() {
                break;
            }
            held.remove(part.iter().map(Decoded::bytes).sum());
            let before = applier.position();
            applier.apply(part).await?;
            if applier.position() != before {
                self.reached(applier);
            }
        }
        if let Some((_, unknown)) = unknown {
            applier.finish().await?;
            self.reached(applier);
            return Err(unknown);
        }
        Ok(News { recorded_at, caught_up: batch.caught_up })
    }

    /// Waits until all commits are written, the last of which tell the news.
    async fn finish(&self, applier: &mut Applier, news: &News) -> Result<(), Ended> {
        applier.finish().await?;
        self.reached(applier);
        // The log may have grown meanwhile.
        let is_behind = !news.caught_up || !applier.position().reaches(self.status.borrow().head);
        let lag = news
            .recorded_at
            .filter(|_| is_behind)
            .map_or(0.0, |at| (Utc::now() - at).as_seconds_f64().max(0.0));
        metrics::gauge!(metric::LAG_SECONDS).set(lag);
        self.status.send_modify(|status| {
            status.lag_seconds = lag;
            if status.position.reaches(status.head) {
                status.head = status.position;
            }
            if news.caught_up {
                status.lag_events = status.head.commits_since(status.position);
                status.state = ProjectorState::Live;
            }
        });
        Ok(())
    }

    fn reached(&self, applier: &Applier) {
        let position = applier.position();
        self.read_models.observe(position);
        if let Some(on_progress) = &self.config.on_progress {
            on_progress(position);
        }
        self.status.send_modify(|status| {
            status.position = position;
            status.parked_streams = applier.parked_streams();
        });
    }

    /// Keeps the lag current in every state of the projector, also while it is stuck or failing.
    async fn watch_lag(&self) {
        let mut lag = Lag::new();
        let mut tick = tokio::time::interval(HEAD_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if self.status.borrow().state == ProjectorState::Starting {
                // The position of the read models is not known yet.
                continue;
            }
            let reached = self.read_models.reached();
            let position = *reached.borrow();
            // An unreachable log has not become shorter.
            let head = match tokio::time::timeout(LOG_TIMEOUT, self.log.head()).await {
                Ok(Ok(head)) => head,
                Ok(Err(_)) | Err(_) => self.status.borrow().head,
            };
            let seconds = lag.seconds(&self.log, position, head).await;
            let now_at = *reached.borrow();
            let events = head.commits_since(now_at);
            metrics::gauge!(metric::LAG_EVENTS).set(events as f64);
            self.status.send_modify(|status| {
                status.head = head;
                status.lag_events = events;
                // Otherwise a batch was applied meanwhile, and its age is in the status.
                if now_at == position {
                    status.lag_seconds = seconds;
                }
                if status.state == ProjectorState::Standby {
                    status.position = now_at;
                }
                metrics::gauge!(metric::LAG_SECONDS).set(status.lag_seconds);
                metrics::gauge!(metric::PARKED_STREAMS).set(status.parked_streams as f64);
            });
        }
    }

    fn enter(&self, state: ProjectorState) {
        let changed = self.status.borrow().state != state;
        if changed {
            match &state {
                ProjectorState::Diverged { reason } => {
                    tracing::error!(
                        reason,
                        "STORE_DIVERGED: the read models belong to another log; rebuild them"
                    );
                }
                ProjectorState::WaitingForUpgrade { position, reason } => {
                    tracing::error!(log.position = %position, reason, "the projector waits for an upgrade");
                }
                ProjectorState::Failing { reason } => {
                    tracing::warn!(reason, "the projector failed; it will retry");
                }
                ProjectorState::Starting
                | ProjectorState::Standby
                | ProjectorState::Rebuilding
                | ProjectorState::CatchingUp
                | ProjectorState::Live
                | ProjectorState::Stopped => tracing::info!(?state, "projector"),
            }
            self.status.send_modify(|status| status.state = state);
        }
    }
}

#[cfg(test)]
mod tests {
    use capstan_domain::agent;
    use capstan_envelope::{
        Actor, Commit, CommitHash, CommitId, EventRecord, MemoryShare, Metadata, Recorded, StreamId,
        Workspace,
    };
    use capstan_eventlog::MemoryLog;
    use capstan_testkit::servers::TestServers;
    use serde_json::value::RawValue;
    use tokio::sync::mpsc;
    use uuid::Uuid;

    use super::*;
    use crate::fact::fixture::of_agent;

    fn arrived(position: u64, bytes: usize) -> Arrived {
        let data = RawValue::from_string(format!("\"{}\"", "x".repeat(bytes - 2))).unwrap();
        let commit = Commit {
            commit_id: CommitId(Uuid::nil()),
            stream: StreamId::new(Workspace::new("dev").unwrap(), "task", "one").unwrap(),
            version: position,
            previous: Position::START,
            previous_hash: CommitHash::NONE,
            metadata: Metadata::new("test", Actor::Engine, Uuid::nil(), Utc::now()),
            events: vec![EventRecord { name: "task-done".into(), version: 1, data }],
        };
        let position = Position::new(position, CommitHash::NONE);
        let recorded = Recorded { position, recorded_at: Utc::now(), hash: CommitHash::NONE, commit };
        let mut arrived = Arrived::new(&MemoryShare::unlimited());
        arrived.push(Decoded::new(recorded));
        arrived
    }

    fn runner(read_models: ReadModels) -> Runner {
        let (log, stop) = (Arc::new(MemoryLog::new()), CancellationToken::new());
        Runner::new(log, read_models, ProjectorConfig::default(), watch::Sender::default(), stop)
    }

    #[tokio::test]
    async fn a_batch_of_large_commits_ends_before_its_maximum_number_of_commits() {
        let runner = runner(ReadModels::connect("postgres://127.0.0.1:1/none").unwrap());
        let (sender, arrivals) = mpsc::channel(10);
        for position in 1..=10 {
            sender
                .send(Ok(arrived(position, 1_000)))
                .await
                .unwrap_or_else(|_| panic!("the channel is closed"));
        }
        let mut reader = Reader::from_arrivals(arrivals);
        let (mut sizes, one) = (Vec::new(), arrived(1, 1_000).held.bytes());
        for _ in 0..2 {
            let first = reader.next().await.unwrap();
            let batch = runner.gather(first, &mut reader, false, 2 * one + 1).await;
            sizes.push((batch.commits.len(), batch.held.bytes()));
        }
        assert_eq!(sizes, [(3, 3 * one), (3, 3 * one)]);
    }

    #[tokio::test]
    async fn what_arrived_before_a_failure_of_the_log_is_applied() {
        let servers = TestServers::start().await.unwrap();
        let (read_models, mut applier) = crate::applier::fixture::started(&servers).await;
        let created = agent::Created::named("dev", "demo", "Demo", Utc::now());
        let commit = of_agent(created.agent_id, 1, 1, agent::Event::Created(created));
        let (sender, arrivals) = mpsc::channel(2);
        let mut first = Arrived::new(&MemoryShare::unlimited());
        first.push(commit);
        let arrived = [Ok(first), Err(ReadError::Unavailable { source: "the commit cannot be read".into() })];
        for arrived in arrived {
            sender.send(arrived).await.unwrap_or_else(|_| panic!("the channel is closed"));
        }
        let ended = runner(read_models.clone()).follow(&mut applier, Reader::from_arrivals(arrivals)).await;
        assert!(matches!(ended, Err(Ended::Log(_))), "{ended:?}");
        drop(applier);
        let written = checkpoint::read(read_models.session().await.unwrap().client()).await.unwrap();
        assert_eq!(written.unwrap().position.sequence(), 1);
    }
}
