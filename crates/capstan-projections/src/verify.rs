//! Verifies the rows: folds the log independently and compares.

use std::collections::BTreeMap;
use std::sync::Arc;

use capstan_envelope::Position;
use capstan_eventlog::{EventLog, ReadError};
use schemars::JsonSchema;
use serde::Serialize;

use crate::checkpoint;
use crate::commits::{Commits, first_unknown};
use crate::fold::Fold;
use crate::read_models::ReadModels;

/// Maximum number of ids reported for each model.
const IDS_MAX: usize = 20;
/// Number of commits folded at a time.
const BATCH: usize = 5_000;

/// Result of a verification.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct VerifyReport {
    /// The compared position.
    pub position: Position,
    /// Number of rows compared.
    pub rows: u64,
    /// The models with differing rows; empty when all rows match.
    pub differences: Vec<ModelDifference>,
}

/// A difference between a model and the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ModelDifference {
    /// Name of the model.
    pub model: String,
    /// Number of rows that differ, are missing or should not exist.
    pub count: usize,
    /// Ids of some of them, at most 20.
    pub ids: Vec<String>,
}

/// The reason a verification failed.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Reading rows failed.
    #[error("read the rows to verify")]
    Postgres(#[from] tokio_postgres::Error),
    /// Reading the log failed.
    #[error("read the log to verify")]
    Log(#[from] ReadError),
    /// The log contains an event this build does not know.
    #[error("verify past {position}: {reason}")]
    UnknownEvent {
        /// Position of the event.
        position: Position,
        /// The decoding error.
        reason: String,
    },
}

/// Folds the log up to the checkpoint and compares every row's document. Works on a live system: the tables are read
/// in one snapshot.
pub async fn verify(log: &Arc<dyn EventLog>, read_models: &ReadModels) -> Result<VerifyReport, VerifyError> {
    let session = read_models.session().await?;
    let client = session.client();
    client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let position = checkpoint::read(client).await?.map_or(Position::START, |at| at.position);
    let fold = fold_to(log, position).await?;
    let mut report = VerifyReport { position, rows: 0, differences: Vec::new() };
    for rows in fold.written() {
        let sql = format!("SELECT id::text, doc FROM capstan.{}", rows.name());
        let stored = client.query(&sql, &[]).await?;
        let stored: BTreeMap<String, String> = stored.iter().map(|row| (row.get(0), row.get(1))).collect();
        let folded = rows.documents();
        report.rows += stored.len() as u64;
        let differs = |id: &&String| stored.get(*id) != folded.get(*id);
        let ids: std::collections::BTreeSet<&String> =
            stored.keys().chain(folded.keys()).filter(differs).collect();
        if !ids.is_empty() {
            report.differences.push(ModelDifference {
                model: rows.name().to_owned(),
                count: ids.len(),
                ids: ids.into_iter().take(IDS_MAX).cloned().collect(),
            });
        }
    }
    client.batch_execute("COMMIT").await?;
    Ok(report)
}

async fn fold_to(log: &Arc<dyn EventLog>, end: Position) -> Result<Fold, VerifyError> {
    let mut fold = Fold::for_models(|_| true);
    let mut commits = Commits::after(log, Position::START);
    let mut position = Position::START;
    let mut parked = std::collections::HashSet::new();
    while !position.reaches(end) {
        let batch = commits.next(BATCH, Some(end)).await?;
        if let Some((index, reason)) = first_unknown(&batch) {
            return Err(VerifyError::UnknownEvent { position: batch[index].recorded.position, reason });
        }
        for decoded in &batch {
            let stream = &decoded.recorded.commit.stream;
            if !parked.contains(stream) && fold.fold(decoded).is_err() {
                parked.insert(stream.clone());
            }
        }
        position = batch.last().map_or(position, |last| last.recorded.position);
    }
    Ok(fold)
}
