//! Applies one batch: reads the rows it needs, folds, writes rows and checkpoint in one transaction.

use std::collections::HashSet;
use std::time::Instant;

use capstan_contract::causes::explain;
use capstan_envelope::Position;
use capstan_eventlog::LogIdentity;
use futures_util::future::join_all;

use crate::checkpoint::{self, Advance, Checkpoint};
use crate::fact::Decoded;
use crate::fold::{Fold, Unfoldable};
use crate::generation::{self, GenerationError, Schemas};
use crate::metric;
use crate::parked::{self, Parking};
use crate::rows::{Batch, StoreError, refused_data};
use crate::session::Session;

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
}

impl ApplyError {
    /// True when the batch met a row of an earlier fold.
    fn is_known_row(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_known_row())
    }

    /// The error text, if the cause is in the data.
    fn refusal(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.refusal(),
            Self::Postgres(error) => refused_data(error),
            Self::FenceClosed | Self::Tables(_) => None,
        }
    }
}

/// Applies batches under one lease.
pub(crate) struct Applier {
    session: Session,
    fold: Fold,
    schemas: Schemas,
    parked: HashSet<String>,
    checkpoint: Checkpoint,
    identity: LogIdentity,
    lease_ms: i64,
}

impl Applier {
    /// Starts under a lease just acquired.
    pub(crate) async fn start(
        session: Session,
        checkpoint: Checkpoint,
        identity: LogIdentity,
        lease_ms: i64,
    ) -> Result<Self, ApplyError> {
        session.plan_by_key().await?;
        let schemas = generation::active(session.client()).await?;
        let parked = parked::streams(session.client()).await?;
        Ok(Self {
            session,
            fold: Fold::for_models(|_| true),
            schemas,
            parked,
            checkpoint,
            identity,
            lease_ms,
        })
    }

    pub(crate) fn position(&self) -> Position {
        self.checkpoint.position
    }

    pub(crate) fn epoch(&self) -> i64 {
        self.checkpoint.epoch
    }

    pub(crate) fn parked_streams(&self) -> usize {
        self.parked.len()
    }

    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// Applies commits in order. After an error nothing of the last transaction is kept, in the tables or in memory.
    pub(crate) async fn apply(&mut self, commits: &[Decoded]) -> Result<(), ApplyError> {
        // Usually one round.
        let mut rounds = vec![(commits, Batch::of(commits.len()))];
        while let Some((batch, kind)) = rounds.pop() {
            let Some(last) = batch.last() else { continue };
            let started = Instant::now();
            let was_parked = self.parked.clone();
            let outcome = self.transact(batch, last, kind, None).await;
            let Err(error) = outcome else {
                metrics::histogram!(metric::APPLY_SECONDS).record(started.elapsed().as_secs_f64());
                metrics::histogram!(metric::BATCH_SIZE).record(batch.len() as f64);
                continue;
            };
            self.fold.forget();
            self.parked = was_parked;
            let Some(refusal) = error.refusal() else { return Err(error) };
            self.session.client().batch_execute("ROLLBACK").await?;
            match kind.retried(batch, error.is_known_row()) {
                Some(tries) => rounds.extend(tries),
                None => self.transact(batch, last, kind, Some(Unfoldable::Refused(refusal))).await?,
            }
        }
        Ok(())
    }

    async fn transact(
        &mut self,
        batch: &[Decoded],
        last: &Decoded,
        kind: Batch,
        refused: Option<Unfoldable>,
    ) -> Result<(), ApplyError> {
        let mut parking = Vec::new();
        if let Some(refused) = refused {
            self.park(last, Some(explain(&refused)), &mut parking);
        } else {
            for decoded in batch {
                if !self.is_parked(decoded) {
                    self.fold.want(decoded, kind);
                }
            }
            self.fold.fetch(&self.session, &self.schemas).await?;
            for decoded in batch {
                if self.is_parked(decoded) {
                    self.park(decoded, None, &mut parking);
                } else if let Err(error) = self.fold.fold(decoded) {
                    self.park(decoded, Some(explain(&error)), &mut parking);
                }
            }
        }
        self.write(last, kind, &parking).await?;
        self.fold.settle();
        self.checkpoint.position = last.recorded.position;
        self.checkpoint.hash = last.recorded.hash;
        Ok(())
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

    async fn write(&self, last: &Decoded, kind: Batch, parking: &[Parking]) -> Result<(), ApplyError> {
        let client = self.session.client();
        // Everything up to the checkpoint is pipelined; COMMIT waits for the result of the fence.
        let begin = async { client.batch_execute("BEGIN").await.map_err(ApplyError::from) };
        let rows = async {
            let writes = self.fold.written().filter_map(|rows| {
                let schema = self.schemas.get(rows.name())?;
                Some(rows.write(&self.session, schema, kind))
            });
            if kind == Batch::Many {
                for write in writes {
                    write.await?;
                }
                return Ok(());
            }
            // All of them: the first to report may be one that only found the transaction failed.
            let errors = join_all(writes).await.into_iter().filter_map(Result::err);
            let cause = errors.reduce(|first, next| if first.is_aftermath() { next } else { first });
            cause.map_or(Ok(()), |cause| Err(ApplyError::from(cause)))
        };
        let parked = async { parked::write(client, parking).await.map_err(ApplyError::from) };
        tokio::try_join!(biased; begin, rows, parked)?;
        let to = Advance {
            from: &self.checkpoint,
            position: last.recorded.position,
            hash: last.recorded.hash,
            recorded_at: last.recorded.recorded_at,
            identity: &self.identity,
            lease_ms: self.lease_ms,
        };
        if !checkpoint::advance(&self.session, &to).await? {
            client.batch_execute("ROLLBACK").await?;
            return Err(ApplyError::FenceClosed);
        }
        client.batch_execute("COMMIT").await?;
        Ok(())
    }
}
