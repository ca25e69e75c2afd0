//! Rebuilds tables beside the old ones from the start of the log, then switches. Reads never stop, and a live projector
//! continues until the switch closes its fence; it resumes on the new tables.

use std::sync::Arc;
use std::time::{Duration, Instant};

use capstan_contract::causes::explain;
use capstan_envelope::{CommitHash, Position};
use capstan_eventlog::{EventLog, ReadError};
use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::catalogue::{MODELS, ReadModel, model};
use crate::checkpoint::{self, diverged};
use crate::commits::{Commits, first_unknown};
use crate::config::ProjectorConfig;
use crate::fact::Decoded;
use crate::fold::Fold;
use crate::generation::{self, GenerationError, Schemas};
use crate::migrate::MigrateError;
use crate::parked::{self, Parking};
use crate::read_models::ReadModels;
use crate::rows::{Batch, StoreError};
use crate::session::Session;

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
    /// Time to read and fold the log, in seconds.
    pub fold_seconds: f64,
    /// Time until the last table had its rows, in seconds.
    pub copy_seconds: f64,
    /// Time from then until the last table had its keys and indexes, in seconds.
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
    /// A task that filled a table panicked.
    #[error("fill the new tables")]
    Interrupted(#[from] tokio::task::JoinError),
    /// The active tables stayed locked.
    #[error("switch to the new tables: the old ones stayed busy")]
    SwitchBusy,
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
    generation::drop_unused(session.client()).await?;
    let mut build = Build::start(Arc::clone(log), read_models, session, which, config).await?;
    build.fold_in_memory().await?;
    build.fill_tables().await?;
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
    fold: Fold,
    commits: Commits,
    parking: Vec<Parking>,
    parked: std::collections::HashSet<String>,
    position: Position,
    hash: CommitHash,
    recorded_at: DateTime<Utc>,
    started: Instant,
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
        let snapshots = &MODELS[0];
        if !models.iter().any(|model| model.name == snapshots.name) && !active.contains_key(snapshots.name) {
            // The other models depend on them.
            models.insert(0, snapshots);
        }
        if !all && let Some(at) = checkpoint::read(session.client()).await? {
            let identity = log.identity().await?;
            if let Some(reason) = diverged(&log, &at, &identity).await? {
                return Err(RebuildError::Diverged(reason));
            }
        }
        let schema = generation::next_schema(session.client()).await?;
        generation::create_tables(session.client(), &schema, &models).await?;
        let commits = Commits::after(&log, Position::START);
        Ok(Self {
            log,
            read_models,
            session,
            config,
            all,
            schemas: active
                .into_iter()
                .chain(models.iter().map(|model| (model.name.to_owned(), schema.clone())))
                .collect(),
            fold: fold_of(&models),
            commits,
            parking: Vec::new(),
            parked: std::collections::HashSet::new(),
            position: Position::START,
            hash: CommitHash::NONE,
            recorded_at: DateTime::UNIX_EPOCH,
            started: Instant::now(),
            report: RebuildReport {
                models: models.iter().map(|model| model.name.to_owned()).collect(),
                schema: schema.clone(),
                position: Position::START,
                commits: 0,
                events: 0,
                rows: 0,
                parked_streams: 0,
                fold_seconds: 0.0,
                copy_seconds: 0.0,
                index_seconds: 0.0,
                seconds: 0.0,
            },
            models,
            schema,
        })
    }

    /// The position at which some models end: that of the others. A rebuild of all continues to the end of the log.
    async fn end(&self) -> Result<Option<Position>, RebuildError> {
        if self.all {
            return Ok(None);
        }
        let at = checkpoint::read(self.session.client()).await?;
        Ok(Some(at.map_or(Position::START, |at| at.position)))
    }

    async fn fold_in_memory(&mut self) -> Result<(), RebuildError> {
        let end = self.end().await?;
        let mut bytes = 0;
        while !self.is_at(end)
            && self.fold.streams() < self.config.rebuild_streams_max
            && bytes < self.config.rebuild_bytes_max
        {
            let commits = self.commits.next(self.config.batch_commits_max, end).await?;
            bytes += commits.iter().map(Decoded::bytes).sum::<usize>();
            self.fold_commits(&commits)?;
        }
        self.report.fold_seconds = self.started.elapsed().as_secs_f64();
        Ok(())
    }

    fn is_at(&self, end: Option<Position>) -> bool {
        end.map_or_else(|| self.commits.is_caught_up(), |end| self.commits.is_past(end))
    }

    fn fold_commits(&mut self, commits: &[Decoded]) -> Result<(), RebuildError> {
        if let Some((index, reason)) = first_unknown(commits) {
            return Err(RebuildError::UnknownEvent { position: commits[index].recorded.position, reason });
        }
        for decoded in commits {
            let stream = &decoded.recorded.commit.stream;
            if !self.parked.is_empty() && self.parked.contains(&stream.to_string()) {
                self.parking.push(Parking::new(decoded, None));
            } else if let Err(error) = self.fold.fold(decoded) {
                self.parking.push(Parking::new(decoded, Some(explain(&error))));
                self.parked.insert(stream.to_string());
            }
            self.report.commits += 1;
            self.report.events += decoded.recorded.commit.events.len() as u64;
        }
        if let Some(last) = commits.last() {
            self.position = last.recorded.position;
            self.hash = last.recorded.hash;
            self.recorded_at = last.recorded.recorded_at;
        }
        Ok(())
    }

    /// Fills all tables concurrently, each in its own task and connection, and creates the indexes of a table as soon as
    /// its rows are in.
    async fn fill_tables(&mut self) -> Result<(), RebuildError> {
        let started = Instant::now();
        let fold = std::mem::replace(&mut self.fold, fold_of(&self.models));
        let fills = fold.into_written().into_iter().map(|rows| {
            let (read_models, schema) = (self.read_models.clone(), self.schema.clone());
            let model = self.models.iter().copied().find(|model| model.name == rows.name());
            tokio::spawn(async move {
                let copied = rows.copy(read_models.session().await?, schema.clone()).await?;
                let copy_seconds = started.elapsed().as_secs_f64();
                let session = read_models.session().await?;
                session.client().batch_execute("SET maintenance_work_mem = '128MB'").await?;
                if let Some(model) = model {
                    generation::create_index(session.client(), &schema, model).await?;
                }
                Ok::<_, RebuildError>((copied, copy_seconds))
            })
        });
        for filled in try_join_all(fills.collect::<Vec<_>>()).await? {
            let (copied, copy_seconds) = filled?;
            self.report.rows += copied;
            self.report.copy_seconds = self.report.copy_seconds.max(copy_seconds);
        }
        self.report.index_seconds = started.elapsed().as_secs_f64() - self.report.copy_seconds;
        Ok(())
    }

    /// Folds against the new tables, one transaction for each batch.
    async fn catch_up(&mut self, end: Option<Position>) -> Result<(), RebuildError> {
        self.session.plan_by_key().await?;
        while !self.is_at(end) {
            let commits = self.commits.next(self.config.batch_commits_max, end).await?;
            self.session.client().batch_execute("BEGIN").await?;
            self.write_commits(&commits).await?;
            self.session.client().batch_execute("COMMIT").await?;
        }
        Ok(())
    }

    async fn write_commits(&mut self, commits: &[Decoded]) -> Result<(), RebuildError> {
        for decoded in commits {
            self.fold.want(decoded, Batch::Next);
        }
        self.fold.fetch(self.session, &self.schemas).await?;
        self.fold_commits(commits)?;
        for rows in self.fold.written() {
            rows.write(self.session, &self.schema, Batch::Next).await?;
        }
        self.fold.settle();
        Ok(())
    }

    async fn switch(&mut self) -> Result<(), RebuildError> {
        // The lock is held on a second connection: rows written meanwhile are kept when it must be released.
        let control = self.read_models.session().await?;
        for _ in 0..SWITCH_TRIES {
            let end = self.end().await?;
            self.catch_up(end).await?;
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
        client.batch_execute("BEGIN; SET LOCAL lock_timeout = '2s'").await?;
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
        self.catch_up(Some(end)).await?;
        generation::activate(client, &self.schema, &self.models).await?;
        if self.all {
            client.batch_execute("DELETE FROM capstan.parked").await?;
        }
        parked::write(client, &self.parking).await?;
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
        self.report.parked_streams = self.parked.len();
        self.report.seconds = self.started.elapsed().as_secs_f64();
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
