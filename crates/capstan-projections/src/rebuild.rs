//! Rebuilds tables beside the old ones from the start of the log, then switches. Reads never stop, and a live projector
//! continues until the switch closes its fence; it resumes on the new tables.
//!
//! The log is replayed in parallel (`replay.rs`) and its rows are copied as their buckets are folded (`copy.rs`); then the
//! tables get their keys and indexes (`index.rs`). A stream that is more than a worker's share of the memory is folded
//! onto the finished tables instead, as a live projector does (`onto.rs`), and so is what was appended meanwhile. A
//! stream with a row that Postgres refuses is found (`refused.rs`) and parked, and the tables are filled once more without
//! what it refuses.

mod copy;
mod fill;
mod index;
mod onto;
mod refused;

use std::sync::Arc;
use std::time::Duration;

use capstan_envelope::{CommitHash, Position, Recorded};
use capstan_eventlog::{EventLog, ReadError};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::catalogue::{MODELS, ReadModel, heads, model};
use crate::checkpoint::{self, diverged};
use crate::config::ProjectorConfig;
use crate::fold::Fold;
use crate::generation::{self, GenerationError, Schemas};
use crate::migrate::MigrateError;
use crate::parked;
use crate::read_models::ReadModels;
use crate::replay::bucket::decode;
use crate::replay::parked::ParkedAside;
use crate::replay::progress::{Meter, ReplayStep};
use crate::replay::record::Record;
use crate::replay::tally::Tally;
use crate::replay::{self, ReplayError};
use crate::search::trail;
use crate::session::Session;
use crate::store_error::{StoreError, refused_data};
use fill::Fill;
use onto::Onto;

/// Lets one rebuild run at a time; the number is arbitrary.
const ADVISORY_LOCK: i64 = 0x6361_7073_7461_6e02;
/// Maximum number of positions a rebuild may be behind the live tables when it switches.
const SWITCH_LAG_MAX: u64 = 2_000;
/// Maximum number of switch attempts while the tables are busy.
const SWITCH_TRIES: u32 = 30;

/// Selection of models to rebuild.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// Every model, and the checkpoint.
    All,
    /// These models, up to the position of the others.
    Some(Vec<String>),
}

/// Result of a rebuild.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RebuildReport {
    /// The rebuilt models.
    pub models: Vec<String>,
    /// The Postgres schema of their tables.
    pub schema: String,
    /// Their position.
    pub position: Position,
    /// Number of commits folded.
    pub commits: u64,
    /// Number of events folded.
    pub events: u64,
    /// Number of rows written by COPY.
    pub rows: u64,
    /// Number of parked streams.
    pub parked_streams: usize,
    /// Bytes of commits put aside on disk; 0 when they fitted the memory.
    pub spilled_bytes: u64,
    /// Time to read the log and put it aside, in seconds.
    pub read_seconds: f64,
    /// Time from then until the last bucket was folded, in seconds.
    pub fold_seconds: f64,
    /// Time from then until the last table had its rows, keys and indexes, in seconds.
    pub index_seconds: f64,
    /// Total time, in seconds.
    pub seconds: f64,
}

/// The reason a rebuild failed. The active tables are unchanged.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// There is no read model of this name.
    #[error("rebuild {0}: there is no such read model")]
    UnknownModel(String),
    /// Another rebuild is running.
    #[error("rebuild: another rebuild is running")]
    Busy,
    /// The log is not the one the other models were folded from; rebuild all.
    #[error("rebuild some models: the log is not the one the others were folded from ({0})")]
    Diverged(String),
    /// The log contains an event this build does not know.
    #[error("rebuild past {position}: {reason}")]
    UnknownEvent {
        /// Position of the event.
        position: Position,
        /// The decoding error.
        reason: String,
    },
    /// The projector's own tables could not be created.
    #[error("prepare the rebuild")]
    Migrate(#[from] MigrateError),
    /// Tables or views could not be changed.
    #[error("create or switch the new tables")]
    Tables(#[from] GenerationError),
    /// Writing rows failed.
    #[error("fill the new tables")]
    Store(#[from] StoreError),
    /// A statement failed.
    #[error("rebuild")]
    Postgres(#[from] tokio_postgres::Error),
    /// Reading the log failed.
    #[error("read the log for the rebuild")]
    Log(#[from] ReadError),
    /// The log could not be put aside.
    #[error("rebuild")]
    Replay(#[source] ReplayError),
    /// A task that filled a table panicked.
    #[error("fill the new tables")]
    Interrupted(#[from] tokio::task::JoinError),
    /// The active tables stayed locked.
    #[error("switch to the new tables: the old ones stayed busy")]
    SwitchBusy,
}

impl RebuildError {
    /// True when the cause is in the data: Postgres refuses a row.
    fn is_refusal(&self) -> bool {
        match self {
            Self::Store(error) => error.refusal().is_some(),
            Self::Tables(GenerationError(error)) => refused_data(error).is_some(),
            Self::UnknownModel(_)
            | Self::Busy
            | Self::Diverged(_)
            | Self::UnknownEvent { .. }
            | Self::Migrate(_)
            | Self::Postgres(_)
            | Self::Log(_)
            | Self::Replay(_)
            | Self::Interrupted(_)
            | Self::SwitchBusy => false,
        }
    }
}

impl From<ReplayError> for RebuildError {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Log(source) => Self::Log(source),
            ReplayError::Store(source) => Self::Store(source),
            ReplayError::Interrupted(source) => Self::Interrupted(source),
            ReplayError::UnknownEvent { position, reason } => Self::UnknownEvent { position, reason },
            ReplayError::Spill { .. } | ReplayError::NoSpace { .. } | ReplayError::NotTaken => {
                Self::Replay(error)
            }
        }
    }
}

/// Rebuilds the tables of `which` and switches reads and projector to them.
pub async fn rebuild(
    log: &Arc<dyn EventLog>,
    read_models: &ReadModels,
    which: &Which,
    config: &ProjectorConfig,
) -> Result<RebuildReport, RebuildError> {
    read_models.migrate().await?;
    let session = read_models.session().await?;
    let free: bool =
        session.client().query_one("SELECT pg_try_advisory_lock($1)", &[&ADVISORY_LOCK]).await?.get(0);
    if !free {
        return Err(RebuildError::Busy);
    }
    let report = rebuild_alone(log, read_models, &session, which, config).await;
    // Explicit: Postgres notices the closed connection later, and the next rebuild would find the lock held.
    let unlocked = session.client().execute("SELECT pg_advisory_unlock($1)", &[&ADVISORY_LOCK]).await;
    let report = report?;
    unlocked?;
    Ok(report)
}

/// A rebuild under the lock that `session` holds.
async fn rebuild_alone(
    log: &Arc<dyn EventLog>,
    read_models: &ReadModels,
    session: &Session,
    which: &Which,
    config: &ProjectorConfig,
) -> Result<RebuildReport, RebuildError> {
    session.plan_by_key().await?;
    generation::drop_unused(session.client()).await?;
    let mut build = Build::start(Arc::clone(log), read_models, session, which, config).await?;
    build.replay().await?;
    build.meter.begin(ReplayStep::CatchingUp);
    build.switch().await?;
    generation::drop_unused(session.client()).await?;
    Ok(build.report())
}

struct Build<'a> {
    log: Arc<dyn EventLog>,
    read_models: &'a ReadModels,
    session: &'a Session,
    config: &'a ProjectorConfig,
    all: bool,
    models: Vec<&'static ReadModel>,
    schema: String,
    schemas: Schemas,
    /// The new tables, once they are filled.
    onto: Onto,
    /// The account of all commits so far.
    tally: Tally,
    /// Those that are parked.
    parked: ParkedAside,
    position: Position,
    hash: CommitHash,
    recorded_at: DateTime<Utc>,
    meter: Arc<Meter>,
    report: RebuildReport,
}

impl<'a> Build<'a> {
    async fn start(
        log: Arc<dyn EventLog>,
        read_models: &'a ReadModels,
        session: &'a Session,
        which: &Which,
        config: &'a ProjectorConfig,
    ) -> Result<Self, RebuildError> {
        let mut models = chosen(which)?;
        let all = *which == Which::All;
        let active = generation::active(session.client()).await?;
        let follows_heads = models.iter().any(|model| model.follows_heads);
        for needed in heads() {
            let is_needed = follows_heads || !active.contains_key(needed.name);
            if is_needed && !models.iter().any(|model| model.name == needed.name) {
                models.push(needed);
            }
        }
        if !all && let Some(at) = checkpoint::read(session.client()).await? {
            let identity = log.identity().await?;
            if let Some(reason) = diverged(&log, &at, &identity).await? {
                return Err(RebuildError::Diverged(reason));
            }
        }
        let schema = generation::next_schema(session.client()).await?;
        generation::create_tables(session.client(), &schema, &models).await?;
        let new = models.iter().map(|model| (model.name.to_owned(), schema.clone()));
        let schemas: Schemas = active.into_iter().chain(new).collect();
        Ok(Self {
            log,
            read_models,
            session,
            config,
            all,
            schemas: schemas.clone(),
            onto: Onto::new(schemas, fold_of(&models), &config.replay),
            tally: Tally::new(&[], Arc::default()),
            parked: ParkedAside::new(&config.replay),
            position: Position::START,
            hash: CommitHash::NONE,
            recorded_at: DateTime::UNIX_EPOCH,
            meter: Arc::new(Meter::new(config.replay.on_progress.clone())),
            report: RebuildReport {
                models: models.iter().map(|model| model.name.to_owned()).collect(),
                schema: schema.clone(),
                position: Position::START,
                commits: 0,
                events: 0,
                rows: 0,
                parked_streams: 0,
                spilled_bytes: 0,
                read_seconds: 0.0,
                fold_seconds: 0.0,
                index_seconds: 0.0,
                seconds: 0.0,
            },
            models,
            schema,
        })
    }

    /// The position up to which is folded: some models end where the others do, all of them continue to the end of the log.
    async fn end(&self) -> Result<Position, RebuildError> {
        if self.all {
            return Ok(self.log.head().await?);
        }
        let at = checkpoint::read(self.session.client()).await?;
        Ok(at.map_or(Position::START, |at| at.position))
    }

    /// Replays the log into the empty tables.
    async fn replay(&mut self) -> Result<(), RebuildError> {
        let end = self.end().await?;
        let aside = replay::read(&self.log, end, &self.config.replay, &self.meter).await?;
        self.report.spilled_bytes = aside.spill.spilled();
        self.report.read_seconds = self.meter.elapsed().as_secs_f64();
        if let Some(last) = &aside.last {
            self.stand_at(last);
        }
        let fill = Fill {
            read_models: self.read_models,
            session: self.session,
            schema: &self.schema,
            schemas: &self.schemas,
            models: &self.models,
            config: self.config,
            meter: &self.meter,
        };
        let filled = fill.run(&Arc::new(aside)).await?;
        if self.models.iter().any(|model| !model.trailing.is_empty()) {
            let session = self.read_models.session().await?;
            trail::fill(&session, &self.schema, self.config.search_block).await?;
        }
        (self.tally, self.parked) = (filled.tally, filled.parked);
        self.report.rows = self.meter.progress().rows;
        self.report.fold_seconds = filled.folded_at.as_secs_f64() - self.report.read_seconds;
        self.report.index_seconds = self.meter.elapsed().as_secs_f64() - filled.folded_at.as_secs_f64();
        Ok(())
    }

    fn stand_at(&mut self, last: &Recorded) {
        self.position = last.position;
        self.hash = last.hash;
        self.recorded_at = last.recorded_at;
    }

    /// Folds what the replay did not read onto the new tables, one transaction for each batch.
    async fn catch_up(&mut self, end: Position) -> Result<(), RebuildError> {
        if self.position.reaches(end) {
            return Ok(());
        }
        let replay = &self.config.replay;
        let mut scan = self.log.scan(self.position, end, replay.ahead()).await?;
        while let Some(scanned) = scan.next().await? {
            for commits in scanned.chunks(self.config.batch_commits_max) {
                let decoded = commits.iter().map(|commit| decode(&Record::whole(commit.raw())));
                let commits = decoded.collect::<Result<Vec<_>, _>>()?;
                self.onto.apply(self.session, &commits, &mut self.tally).await?;
                self.parked.put(self.tally.parking.drain(..))?;
                if let Some(last) = commits.last() {
                    self.stand_at(&last.recorded);
                }
            }
        }
        Ok(())
    }

    async fn switch(&mut self) -> Result<(), RebuildError> {
        // The lock is held on a second connection: rows written meanwhile are kept when it must be released.
        let control = self.read_models.session().await?;
        for _ in 0..SWITCH_TRIES {
            // While what is appended meanwhile is folded, more is.
            loop {
                let end = self.end().await?;
                if self.position.reaches(end) {
                    break;
                }
                self.catch_up(end).await?;
            }
            match self.try_switch(control.client()).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(RebuildError::Tables(GenerationError(error)) | RebuildError::Postgres(error)) if matches!(error.code(), Some(code) if *code == SqlState::LOCK_NOT_AVAILABLE) =>
                    {}
                Err(error) => return Err(error),
            }
            control.client().batch_execute("ROLLBACK").await?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(RebuildError::SwitchBusy)
    }

    /// Switches in one transaction, which locks the checkpoint. False when the live tables are too far ahead to catch up
    /// under the lock.
    async fn try_switch(&mut self, client: &Client) -> Result<bool, RebuildError> {
        let identity = self.log.identity().await?;
        // A rebuild that is told to be done survives a crash, and with its last transaction all before it.
        client
            .batch_execute("BEGIN; SET LOCAL lock_timeout = '2s'; SET LOCAL synchronous_commit = on")
            .await?;
        let live = checkpoint::lock(client).await?;
        let comparable = match &live {
            Some(live) => diverged(&self.log, live, &identity).await?.is_none(),
            None => false,
        };
        let live = live.filter(|_| comparable).map_or(Position::START, |live| live.position);
        if live.commits_since(self.position) > SWITCH_LAG_MAX {
            return Ok(false);
        }
        // Some models must not be ahead of the others.
        let end = if self.all && self.position.reaches(live) { self.position } else { live };
        self.catch_up(end).await?;
        generation::activate(client, &self.schema, &self.models).await?;
        if self.all {
            client.batch_execute("DELETE FROM capstan.parked").await?;
        }
        let mut parked = self.parked.read();
        loop {
            let some = parked.next()?;
            if some.is_empty() {
                break;
            }
            parked::write(client, &some).await?;
        }
        if self.all {
            client
                .execute(
                    "UPDATE capstan.checkpoint SET position = $1, hash = $2, recorded_at = $3, store_epoch = $4, \
                     store_created_at = $5",
                    &[
                        &(self.position.sequence() as i64),
                        &self.hash.to_string(),
                        &self.recorded_at,
                        &identity.store_epoch,
                        &identity.created_at,
                    ],
                )
                .await?;
        }
        // A live projector finds another epoch, and resumes on the new tables.
        client
            .execute(&format!("UPDATE capstan.checkpoint SET epoch = {}", checkpoint::NEXT_EPOCH), &[])
            .await?;
        client.batch_execute("COMMIT").await?;
        if self.all {
            self.read_models.progress().reset(self.position);
        }
        Ok(true)
    }

    fn report(mut self) -> RebuildReport {
        self.report.position = self.position;
        self.report.commits = self.tally.commits;
        self.report.events = self.tally.events;
        self.report.parked_streams = self.tally.parked_streams();
        self.report.seconds = self.meter.elapsed().as_secs_f64();
        self.report
    }
}

fn fold_of(models: &[&ReadModel]) -> Fold {
    Fold::for_models(|name| models.iter().any(|model| model.name == name))
}

fn chosen(which: &Which) -> Result<Vec<&'static ReadModel>, RebuildError> {
    match which {
        Which::All => Ok(MODELS.iter().collect()),
        Which::Some(names) => names
            .iter()
            .map(|name| model(name).ok_or_else(|| RebuildError::UnknownModel(name.clone())))
            .collect(),
    }
}
