//! Folds commits onto tables that have their rows, keys and indexes already, as a live projector does.

use std::collections::HashSet;

use capstan_contract::causes::explain;

use super::RebuildError;
use crate::fact::Decoded;
use crate::fold::{Fold, Unfoldable};
use crate::generation::Schemas;
use crate::replay::config::ReplayConfig;
use crate::replay::tally::Tally;
use crate::rows::Batch;
use crate::session::Session;
use crate::store_error::StoreError;

/// Tables, with the rows of the last commits in memory.
pub(super) struct Onto {
    schemas: Schemas,
    fold: Fold,
}

impl Onto {
    pub(super) fn new(schemas: Schemas, fold: Fold, config: &ReplayConfig) -> Self {
        Self { schemas, fold: fold.keeping(config.kept_bytes()) }
    }

    /// Folds commits in order, in one transaction unless a row is refused.
    pub(super) async fn apply(
        &mut self,
        session: &Session,
        commits: &[Decoded],
        tally: &mut Tally,
    ) -> Result<(), RebuildError> {
        let mut rounds = vec![(commits, Batch::Many)];
        while let Some((batch, kind)) = rounds.pop() {
            if batch.is_empty() {
                continue;
            }
            match self.transact(session, batch, kind, tally).await {
                Ok(outcomes) => {
                    for (decoded, outcome) in batch.iter().zip(outcomes) {
                        if !tally.holds_back(decoded) {
                            tally.count(decoded, outcome)?;
                        }
                    }
                }
                Err(error) => {
                    self.fold.forget();
                    let Some(refusal) = error.refusal() else { return Err(error.into()) };
                    session.client().batch_execute("ROLLBACK").await?;
                    match kind.retried(batch, error.is_known_row()) {
                        Some(tries) => rounds.extend(tries),
                        None => tally.park(&batch[0], explain(&Unfoldable::Refused(refusal))),
                    }
                }
            }
        }
        Ok(())
    }

    /// One outcome for each commit; those of parked streams are not folded.
    async fn transact(
        &mut self,
        session: &Session,
        batch: &[Decoded],
        kind: Batch,
        tally: &Tally,
    ) -> Result<Vec<Result<(), Unfoldable>>, StoreError> {
        let failed = |source| StoreError::Postgres { model: "all models", source };
        let client = session.client();
        client.batch_execute("BEGIN").await.map_err(failed)?;
        for decoded in batch.iter().filter(|decoded| !tally.is_parked(decoded)) {
            self.fold.want(decoded, kind);
        }
        self.fold.fetch(session, &self.schemas).await?;
        let mut parked = HashSet::new();
        let mut outcomes = Vec::with_capacity(batch.len());
        for decoded in batch {
            let stream = &decoded.recorded.commit.stream;
            let outcome = if tally.is_parked(decoded) || parked.contains(stream) {
                Ok(())
            } else {
                self.fold.fold(decoded)
            };
            if outcome.is_err() {
                parked.insert(stream);
            }
            outcomes.push(outcome);
        }
        for statement in self.fold.hand_out(&self.schemas, kind)? {
            statement.send(session).await?;
        }
        client.batch_execute("COMMIT").await.map_err(failed)?;
        Ok(outcomes)
    }
}
