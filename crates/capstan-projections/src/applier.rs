//! Applies batches: reads the rows a batch needs, folds and encodes it, writes rows and checkpoint in one transaction.
//!
//! A batch is written by a task of its own, while the next one is folded onto what memory takes for written. When the write
//! fails, memory is dropped, and what was prepared meanwhile with it. Rows that memory lacks are read when all is
//! written, because they may be among those on their way.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use capstan_contract::causes::explain;
use capstan_envelope::{Held, Position};
use capstan_eventlog::{Archived, LogIdentity};
use futures_util::future::join_all;
use tokio_postgres::error::SqlState;
use tokio_util::task::AbortOnDropHandle;

use crate::checkpoint::{self, Advance, Checkpoint};
use crate::config::ProjectorMemory;
use crate::fact::Decoded;
use crate::fold::{Fold, Unfoldable};
use crate::generation::{self, GenerationError, Schemas};
use crate::metric;
use crate::parked::{self, Parking};
use crate::rows::Batch;
use crate::session::Session;
use crate::store_error::{StoreError, refused_data};
use crate::table::Outgoing;

/// The reason a batch was not applied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    #[error("apply a batch: another projector has taken over")]
    FenceClosed,
    #[error("apply a batch")]
    Postgres(#[from] tokio_postgres::Error),
    #[error("apply a batch")]
    Store(#[from] StoreError),
    #[error("find the tables of the read models")]
    Tables(#[from] GenerationError),
    #[error("apply a batch")]
    Interrupted(#[from] tokio::task::JoinError),
}

impl ApplyError {
    /// True when the statement found the transaction failed by another one.
    fn is_aftermath(&self) -> bool {
        match self {
            Self::Store(error) => error.is_aftermath(),
            Self::Postgres(error) => error.code() == Some(&SqlState::IN_FAILED_SQL_TRANSACTION),
            Self::FenceClosed | Self::Tables(_) | Self::Interrupted(_) => false,
        }
    }

    /// True when the batch met a row of an earlier fold.
    fn is_known_row(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_known_row())
    }

    /// The error text, if the cause is in the data.
    fn refusal(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.refusal(),
            Self::Postgres(error) => refused_data(error),
            Self::FenceClosed | Self::Tables(_) | Self::Interrupted(_) => None,
        }
    }
}

/// Applies batches under one lease.
pub(crate) struct Applier {
    session: Arc<Session>,
    fold: Fold,
    schemas: Schemas,
    /// Streams with parked commits, as of the last batch that was folded.
    parked: HashSet<String>,
    /// As it is in the database.
    checkpoint: Checkpoint,
    identity: LogIdentity,
    lease_ms: i64,
    memory: ProjectorMemory,
    writing: Option<Writing>,
}

/// A batch that is being written.
struct Writing {
    batch: Vec<Decoded>,
    kind: Batch,
    /// The checkpoint behind it.
    behind: Checkpoint,
    /// The parked streams before it.
    was_parked: HashSet<String>,
    started: Instant,
    task: AbortOnDropHandle<Result<(), ApplyError>>,
    outcome: Option<Result<(), ApplyError>>,
    /// Bytes of its commits.
    _held: Held,
}

/// A batch that is folded and encoded.
struct Prepared {
    kind: Batch,
    statements: Vec<Outgoing>,
    parking: Vec<Parking>,
    advance: Advance,
}

/// A part of a batch, and the way to apply it.
type Try<'a> = (&'a [Decoded], Batch);

impl Applier {
    /// Starts under a lease just acquired.
    pub(crate) async fn start(
        session: Session,
        checkpoint: Checkpoint,
        identity: LogIdentity,
        lease_ms: i64,
        archived: Archived,
        memory: &ProjectorMemory,
    ) -> Result<Self, ApplyError> {
        session.plan_by_key().await?;
        let schemas = generation::active(session.client()).await?;
        let parked = parked::streams(session.client()).await?;
        Ok(Self {
            session: Arc::new(session),
            fold: Fold::for_models(|_| true).of(archived).within(memory),
            schemas,
            parked,
            checkpoint,
            identity,
            lease_ms,
            memory: memory.clone(),
            writing: None,
        })
    }

    /// The position of the tables.
    pub(crate) fn position(&self) -> Position {
        self.checkpoint.position
    }

    pub(crate) fn epoch(&self) -> i64 {
        self.checkpoint.epoch
    }

    pub(crate) fn parked_streams(&self) -> usize {
        self.parked.len()
    }

    /// Most commits of the next batch.
    pub(crate) fn commits_max(&self) -> usize {
        self.fold.commits_max()
    }

    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// Folds commits and begins to write them, when those before are written. After an error nothing that was not written is
    /// kept, in the tables or in memory.
    pub(crate) async fn apply(&mut self, batch: Vec<Decoded>) -> Result<(), ApplyError> {
        let (kind, started) = (Batch::of(batch.len()), Instant::now());
        let held = self.memory.commits.hold(batch.iter().map(Decoded::bytes).sum());
        self.want(&batch, kind);
        if self.fold.lacks_rows() && !self.finish().await? {
            self.want(&batch, kind);
        }
        let was_parked = self.parked.clone();
        let prepared = self.prepare(&batch, kind, None).await;
        let were_written = self.finish().await?;
        match prepared {
            _ if !were_written => self.apply_in_turn(vec![(&batch, kind)]).await,
            Err(error) => {
                let tries = self.recover(&batch, kind, was_parked, error).await?;
                self.apply_in_turn(tries).await
            }
            Ok(None) => Ok(()),
            Ok(Some(prepared)) => {
                let behind = self.behind(&prepared.advance);
                let writing = write(Arc::clone(&self.session), prepared);
                let task = AbortOnDropHandle::new(tokio::spawn(writing));
                self.writing = Some(Writing {
                    batch,
                    kind,
                    behind,
                    was_parked,
                    started,
                    task,
                    outcome: None,
                    _held: held,
                });
                Ok(())
            }
        }
    }

    /// True while a batch is being written.
    pub(crate) fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// Waits until the batch that is being written is, or has failed. Cancel-safe.
    pub(crate) async fn ended(&mut self) {
        if let Some(writing) = self.writing.as_mut().filter(|writing| writing.outcome.is_none()) {
            let ended = (&mut writing.task).await;
            writing.outcome = Some(ended.map_err(ApplyError::from).and_then(|outcome| outcome));
        }
    }

    /// Waits until all commits are written. False when the batch had to be folded again, so that what was prepared behind it
    /// is void.
    pub(crate) async fn finish(&mut self) -> Result<bool, ApplyError> {
        self.ended().await;
        let Some(writing) = self.writing.take() else { return Ok(true) };
        if let Some(Err(error)) = writing.outcome {
            let tries = self.recover(&writing.batch, writing.kind, writing.was_parked, error).await?;
            self.apply_in_turn(tries).await?;
            return Ok(false);
        }
        measure(&writing.batch, writing.started);
        self.checkpoint = writing.behind;
        Ok(true)
    }

    /// Applies parts of a batch, the last one first, one after the other.
    async fn apply_in_turn(&mut self, mut tries: Vec<Try<'_>>) -> Result<(), ApplyError> {
        while let Some((batch, kind)) = tries.pop() {
            let (was_parked, started) = (self.parked.clone(), Instant::now());
            match self.transact(batch, kind, None).await {
                Ok(()) => measure(batch, started),
                Err(error) => tries.extend(self.recover(batch, kind, was_parked, error).await?),
            }
        }
        Ok(())
    }

    /// Drops what memory has of a batch that failed. Returns the next tries, the last one first.
    async fn recover<'a>(
        &mut self,
        batch: &'a [Decoded],
        kind: Batch,
        was_parked: HashSet<String>,
        error: ApplyError,
    ) -> Result<Vec<Try<'a>>, ApplyError> {
        self.fold.forget();
        self.parked = was_parked;
        let Some(refusal) = error.refusal() else { return Err(error) };
        self.session.client().batch_execute("ROLLBACK").await?;
        if let Some(tries) = kind.retried(batch, error.is_known_row()) {
            return Ok(tries);
        }
        self.transact(batch, kind, Some(Unfoldable::Refused(refusal))).await?;
        Ok(Vec::new())
    }

    async fn transact(
        &mut self,
        batch: &[Decoded],
        kind: Batch,
        refused: Option<Unfoldable>,
    ) -> Result<(), ApplyError> {
        if refused.is_none() {
            self.want(batch, kind);
        }
        let Some(prepared) = self.prepare(batch, kind, refused).await? else { return Ok(()) };
        let behind = self.behind(&prepared.advance);
        write(Arc::clone(&self.session), prepared).await?;
        self.checkpoint = behind;
        Ok(())
    }

    fn behind(&self, advance: &Advance) -> Checkpoint {
        Checkpoint { position: advance.position, hash: advance.hash, ..self.checkpoint.clone() }
    }

    /// Folds a batch, whose rows are [wanted](Self::want), behind the one that is being written, and takes it for written. `None` without commits. With `refused`,
    /// its only commit is parked.
    async fn prepare(
        &mut self,
        batch: &[Decoded],
        kind: Batch,
        refused: Option<Unfoldable>,
    ) -> Result<Option<Prepared>, ApplyError> {
        let Some(last) = batch.last() else { return Ok(None) };
        let mut parking = Vec::new();
        if let Some(refused) = refused {
            self.park(last, Some(explain(&refused)), &mut parking);
        } else {
            self.fold.fetch(&self.session, &self.schemas).await?;
            for decoded in batch {
                if self.is_parked(decoded) {
                    self.park(decoded, None, &mut parking);
                } else if let Err(error) = self.fold.fold(decoded) {
                    self.park(decoded, Some(explain(&error)), &mut parking);
                }
            }
        }
        let statements = self.fold.hand_out(&self.schemas, kind)?;
        let from = self.writing.as_ref().map_or(&self.checkpoint, |writing| &writing.behind);
        let advance = Advance {
            epoch: from.epoch,
            from: from.position,
            position: last.recorded.position,
            hash: last.recorded.hash,
            recorded_at: last.recorded.recorded_at,
            identity: self.identity.clone(),
            lease_ms: self.lease_ms,
        };
        Ok(Some(Prepared { kind, statements, parking, advance }))
    }

    /// Registers the rows that a batch needs and memory lacks.
    fn want(&mut self, batch: &[Decoded], kind: Batch) {
        for decoded in batch {
            if !self.is_parked(decoded) {
                self.fold.want(decoded, kind);
            }
        }
    }

    fn is_parked(&self, decoded: &Decoded) -> bool {
        !self.parked.is_empty() && self.parked.contains(&decoded.recorded.commit.stream.to_string())
    }

    fn park(&mut self, decoded: &Decoded, error: Option<String>, parking: &mut Vec<Parking>) {
        if let Some(error) = &error {
            tracing::error!(
                stream.id = %decoded.recorded.commit.stream,
                log.position = %decoded.recorded.position,
                error,
                "a commit cannot be folded: its stream is parked"
            );
        }
        self.parked.insert(decoded.recorded.commit.stream.to_string());
        parking.push(Parking::new(decoded, error));
    }
}

fn measure(batch: &[Decoded], started: Instant) {
    metrics::histogram!(metric::APPLY_SECONDS).record(started.elapsed().as_secs_f64());
    metrics::histogram!(metric::BATCH_SIZE).record(batch.len() as f64);
}

/// Writes a batch in one transaction.
async fn write(session: Arc<Session>, prepared: Prepared) -> Result<(), ApplyError> {
    let (session, client) = (&*session, session.client());
    let Prepared { kind, statements, parking, advance } = prepared;
    let begin = async { client.batch_execute("BEGIN").await.map_err(ApplyError::from) };
    let rows =
        statements.into_iter().map(|rows| async { rows.send(session).await.map_err(ApplyError::from) });
    let parked = async { parked::write(client, &parking).await.map_err(ApplyError::from) };
    let advance = async { checkpoint::advance(session, &advance).await.map_err(ApplyError::from) };
    let advanced = if kind == Batch::Many {
        // A COPY that finds the transaction failed ends the connection, so one waits for the other.
        begin.await?;
        for rows in rows {
            rows.await?;
        }
        parked.await?;
        advance.await?
    } else {
        // Pipelined up to the checkpoint; COMMIT waits for the result of the fence.
        let (opened, rows, parked, advanced) = tokio::join!(biased; begin, join_all(rows), parked, advance);
        // All of them: the first to report may be one that only found the transaction failed.
        let outcomes = std::iter::once(opened).chain(rows).chain([parked]);
        let errors = outcomes.filter_map(Result::err);
        match errors.reduce(|first, next| if first.is_aftermath() { next } else { first }) {
            Some(cause) => return Err(cause),
            None => advanced?,
        }
    };
    if !advanced {
        client.batch_execute("ROLLBACK").await?;
        return Err(ApplyError::FenceClosed);
    }
    client.batch_execute("COMMIT").await?;
    Ok(())
}

/// An applier for tests.
#[cfg(test)]
pub(crate) mod fixture {
    use capstan_testkit::servers::TestServers;
    use chrono::Utc;

    use super::*;
    use crate::read_models::ReadModels;

    /// Empty tables, and an applier at the beginning of a log.
    pub(crate) async fn started(servers: &TestServers) -> (ReadModels, Applier) {
        let read_models = ReadModels::connect(&servers.fresh_database().await.unwrap()).unwrap();
        read_models.migrate().await.unwrap();
        let session = read_models.session().await.unwrap();
        let at = checkpoint::acquire(session.client(), "test", 10_000).await.unwrap().unwrap();
        let identity = LogIdentity { store_epoch: "test".into(), created_at: Utc::now() };
        let memory = ProjectorMemory::default();
        let applier =
            Applier::start(session, at, identity, 10_000, Archived::default(), &memory).await.unwrap();
        (read_models, applier)
    }
}

#[cfg(test)]
mod tests {
    use capstan_domain::agent;
    use capstan_domain::id::AgentId;
    use capstan_testkit::servers::TestServers;
    use chrono::Utc;

    use super::*;
    use crate::fact::fixture::of_agent;

    fn decoded(position: u64, version: u64, event: agent::Event) -> Decoded {
        of_agent(AgentId::from_key("dev", "demo"), position, version, event)
    }

    #[tokio::test]
    async fn rows_that_left_memory_on_their_way_are_read_when_they_are_written() {
        let servers = TestServers::start().await.unwrap();
        let (_, mut applier) = fixture::started(&servers).await;
        applier.fold.kept_bytes_max = 0;
        let created = agent::Created::named("dev", "demo", "Demo", Utc::now());
        let id = created.agent_id;
        applier.apply(vec![decoded(1, 1, agent::Event::Created(created))]).await.unwrap();
        for version in 2..50 {
            let change = serde_json::json!({
                "agent_id": id, "role": format!("role {version}"), "updated_at": Utc::now(),
            });
            let updated = agent::Event::Updated(serde_json::from_value(change).unwrap());
            applier.apply(vec![decoded(version, version, updated)]).await.unwrap();
        }
        assert!(applier.finish().await.unwrap());
        assert_eq!((applier.parked_streams(), applier.position().sequence()), (0, 49));
        let sql = "SELECT version, doc FROM capstan.agents";
        let row = applier.session().client().query_one(sql, &[]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), 49);
        assert!(row.get::<_, &str>(1).contains("role 49"), "{row:?}");
    }
}
