//! Streams that wait behind a commit that cannot be folded. The commit and all later ones of its stream stay parked
//! until a retry succeeds or a rebuild folds them.

use std::collections::HashSet;
use std::sync::Arc;

use capstan_contract::TaskCodec;
use capstan_contract::causes::explain;
use capstan_envelope::{Codec as _, CommitHash, Position, StreamId};
use capstan_eventlog::{EventLog, ReadError};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio_postgres::{Client, Row};

use crate::catalogue::tasks::TaskRow;
use crate::checkpoint;
use crate::fact::Decoded;
use crate::fold::Fold;
use crate::generation::{self, GenerationError, Schemas};
use crate::model::Named as _;
use crate::queries::QueryError;
use crate::read_models::ReadModels;
use crate::rows::Batch;
use crate::search::{BLOCK, trail};
use crate::session::Session;
use crate::store_error::StoreError;

/// Error text of a commit that is not faulty itself.
const BEHIND: &str = "waits behind an earlier commit of its stream";

/// A commit that is not in the read models.
#[derive(Clone, Debug, Serialize)]
pub struct ParkedCommit {
    /// Stream of the commit.
    pub stream: String,
    /// Position of the commit.
    pub position: Position,
    /// The reason it was parked.
    pub error: String,
    /// The commit as it is stored: JSON text.
    pub payload: String,
    /// Time of the parking.
    pub parked_at: DateTime<Utc>,
}

impl ParkedCommit {
    fn from_row(row: &Row) -> Self {
        Self {
            stream: row.get("stream"),
            position: checkpoint::position(row),
            error: row.get("error"),
            payload: row.get("payload"),
            parked_at: row.get("parked_at"),
        }
    }
}

/// The reason a retry of parked commits failed.
#[derive(Debug, thiserror::Error)]
pub enum RetryError {
    /// A statement failed.
    #[error("retry parked commits")]
    Postgres(#[from] tokio_postgres::Error),
    /// The tables are missing.
    #[error("find the tables of the read models")]
    Tables(#[from] GenerationError),
    /// Reading or writing rows failed.
    #[error("fold parked commits")]
    Store(#[from] StoreError),
    /// Reading the log failed.
    #[error("read parked commits from the log")]
    Log(#[from] ReadError),
}

/// A commit to be parked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Parking {
    stream: String,
    position: Position,
    hash: CommitHash,
    error: String,
    payload: String,
}

impl Parking {
    /// Parks a commit: with its own error, or behind an earlier commit.
    pub(crate) fn new(decoded: &Decoded, error: Option<String>) -> Self {
        Self {
            stream: decoded.recorded.commit.stream.to_string(),
            position: decoded.recorded.position,
            hash: decoded.recorded.hash,
            error: error.unwrap_or_else(|| BEHIND.to_owned()),
            payload: String::from_utf8(decoded.recorded.commit.to_bytes().unwrap_or_default())
                .unwrap_or_default(),
        }
    }

    /// The stream; number of the commit, and the reason it is parked.
    pub(crate) fn reason(self) -> (String, (u64, String)) {
        (self.stream, (self.position.sequence(), self.error))
    }
}

/// Streams with parked commits.
pub(crate) async fn streams(client: &Client) -> Result<HashSet<String>, tokio_postgres::Error> {
    let rows = client.query("SELECT DISTINCT stream FROM capstan.parked", &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Writes parked commits inside the open transaction.
pub(crate) async fn write(client: &Client, parked: &[Parking]) -> Result<(), tokio_postgres::Error> {
    for commit in parked {
        // Postgres cannot store the NUL character; JSON text has it escaped, an error text may not.
        let error = commit.error.replace('\0', "\u{fffd}");
        client
            .execute(
                "INSERT INTO capstan.parked (stream, position, hash, error, payload) VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT (stream, position) DO UPDATE SET error = excluded.error",
                &[
                    &commit.stream,
                    &(commit.position.sequence() as i64),
                    &commit.hash.to_string(),
                    &error,
                    &commit.payload,
                ],
            )
            .await?;
    }
    Ok(())
}

impl ReadModels {
    /// The parked commits, oldest first, at most `limit`.
    pub async fn parked(&self, limit: i64) -> Result<Vec<ParkedCommit>, QueryError> {
        self.parked_after(Position::START, limit).await
    }

    /// The parked commits after a position, oldest first, at most `limit`.
    pub async fn parked_after(&self, after: Position, limit: i64) -> Result<Vec<ParkedCommit>, QueryError> {
        let client = self.client().await?;
        let sql = "SELECT stream, position, hash, error, payload, parked_at FROM capstan.parked \
                   WHERE position > $1 ORDER BY position LIMIT $2";
        let after = after.sequence() as i64;
        let rows = client.query(sql, &[&after, &limit]).await.map_err(QueryError::unavailable)?;
        Ok(rows.iter().map(ParkedCommit::from_row).collect())
    }

    /// The parked commit at exactly this position.
    pub async fn parked_at(&self, position: Position) -> Result<Option<ParkedCommit>, QueryError> {
        let client = self.client().await?;
        let sql = "SELECT stream, position, hash, error, payload, parked_at FROM capstan.parked \
                   WHERE position = $1";
        let sequence = position.sequence() as i64;
        let row = client.query_opt(sql, &[&sequence]).await.map_err(QueryError::unavailable)?;
        Ok(row.as_ref().map(ParkedCommit::from_row).filter(|commit| commit.position == position))
    }

    /// Folds the parked commits of a stream again, in order. Returns the number that are still parked. Works beside a
    /// live projector.
    pub async fn retry_parked(
        &self,
        log: &Arc<dyn EventLog>,
        stream: &StreamId,
    ) -> Result<usize, RetryError> {
        let session = self.session().await?;
        let client = session.client();
        client.batch_execute("BEGIN").await?;
        let left = refold(&session, log, stream).await;
        client.batch_execute(if left.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
        let left = left?;
        trail::fill_active(self, &mut None, BLOCK).await?;
        Ok(left)
    }
}

/// Folds the parked commits of a stream inside the open transaction, up to the first that fails again. Returns the
/// number left.
async fn refold(session: &Session, log: &Arc<dyn EventLog>, stream: &StreamId) -> Result<usize, RetryError> {
    let client = session.client();
    checkpoint::lock(client).await?;
    let schemas = generation::active(client).await?;
    let name = stream.to_string();
    let sql = "SELECT position, hash FROM capstan.parked WHERE stream = $1 ORDER BY position";
    let waiting = client.query(sql, &[&name]).await?;
    let mut fold = Fold::for_models(|_| true).of(log.archived());
    let mut folded = 0;
    for row in &waiting {
        let position = checkpoint::position(row);
        let Some(recorded) = log.at(position).await? else { break };
        let decoded = Decoded::new(recorded);
        client.batch_execute("SAVEPOINT before_commit").await?;
        if let Some(refusal) = fold_one(&mut fold, session, &schemas, &decoded).await? {
            client.batch_execute("ROLLBACK TO SAVEPOINT before_commit").await?;
            write(client, &[Parking::new(&decoded, Some(refusal))]).await?;
            break;
        }
        if let Some(schema) = schemas.get(TaskRow::NAME)
            && stream.category() == TaskCodec::CATEGORY
        {
            trail::take_back(session, schema, position.sequence()).await?;
        }
        let sql = "DELETE FROM capstan.parked WHERE stream = $1 AND position = $2";
        client.execute(sql, &[&name, &(position.sequence() as i64)]).await?;
        folded += 1;
    }
    // A live projector caches rows and parked streams: the new epoch makes it read them again.
    let sql = format!("UPDATE capstan.checkpoint SET epoch = {}", checkpoint::NEXT_EPOCH);
    client.execute(&sql, &[]).await?;
    Ok(waiting.len() - folded)
}

/// Folds and writes one commit. Returns the error text if the cause is in the data, the commit's or a stored row's.
async fn fold_one(
    fold: &mut Fold,
    session: &Session,
    schemas: &Schemas,
    decoded: &Decoded,
) -> Result<Option<String>, StoreError> {
    let refused = |error: StoreError| error.refusal().map(Some).ok_or(error);
    fold.want(decoded, Batch::Refold);
    if let Err(error) = fold.fetch(session, schemas).await {
        return refused(error);
    }
    if let Err(error) = fold.fold(decoded) {
        return Ok(Some(explain(&error)));
    }
    let statements = match fold.hand_out(schemas, Batch::Refold) {
        Ok(statements) => statements,
        Err(error) => return refused(error),
    };
    for statement in statements {
        if let Err(error) = statement.send(session).await {
            return refused(error);
        }
    }
    Ok(None)
}
