//! The checkpoint row: the position of the read models, and the fence that lets only one projector advance it.
//!
//! The fence is the epoch in the row, not the lease: a projector that lost its lease without noticing finds another
//! epoch when it commits, and its rows roll back with the checkpoint. The lease only decides when another projector
//! may try.

use std::sync::Arc;

use capstan_envelope::{CommitHash, Position};
use capstan_eventlog::{EventLog, LogIdentity, ReadError};
use chrono::{DateTime, Utc};
use tokio_postgres::{Client, Error, Row};

use crate::session::Session;

/// Name of the only row.
pub(crate) const NAME: &str = "read-models";

/// The row.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoint {
    pub(crate) epoch: i64,
    pub(crate) position: Position,
    pub(crate) hash: CommitHash,
    pub(crate) identity: Option<LogIdentity>,
}

/// The position in the columns `position` and `hash` of a row.
pub(crate) fn position(row: &Row) -> Position {
    Position::new(row.get::<_, i64>("position") as u64, hash(row))
}

fn hash(row: &Row) -> CommitHash {
    row.get::<_, &str>("hash").parse().unwrap_or(CommitHash::NONE)
}

impl Checkpoint {
    fn from_row(row: &Row) -> Self {
        let identity = match (row.get("store_epoch"), row.get("store_created_at")) {
            (Some(store_epoch), Some(created_at)) => Some(LogIdentity { store_epoch, created_at }),
            _ => None,
        };
        Self { epoch: row.get("epoch"), position: position(row), hash: hash(row), identity }
    }
}

/// SQL for the next epoch. It includes the clock, because the row can be dropped and recreated: a count from zero could
/// reach the epoch of a live projector that still holds an old lease.
pub(crate) const NEXT_EPOCH: &str =
    "GREATEST(epoch + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)";

/// Reads the row without a lock.
pub(crate) async fn read(client: &Client) -> Result<Option<Checkpoint>, Error> {
    let sql =
        "SELECT epoch, position, hash, store_epoch, store_created_at FROM capstan.checkpoint WHERE name = $1";
    Ok(client.query_opt(sql, &[&NAME]).await?.as_ref().map(Checkpoint::from_row))
}

/// Reads the row and locks it until the transaction ends.
pub(crate) async fn lock(client: &Client) -> Result<Option<Checkpoint>, Error> {
    let sql = "SELECT epoch, position, hash, store_epoch, store_created_at FROM capstan.checkpoint \
               WHERE name = $1 FOR UPDATE";
    Ok(client.query_opt(sql, &[&NAME]).await?.as_ref().map(Checkpoint::from_row))
}

/// Acquires the lease if it is free, expired or already held by `owner`; increases the epoch.
pub(crate) async fn acquire(
    client: &Client,
    owner: &str,
    lease_ms: i64,
) -> Result<Option<Checkpoint>, Error> {
    let sql = format!(
        "UPDATE capstan.checkpoint \
         SET epoch = {NEXT_EPOCH}, owner = $2, lease_until = clock_timestamp() + $3 * interval '1 millisecond' \
         WHERE name = $1 AND (owner IS NULL OR owner = $2 OR lease_until < clock_timestamp()) \
         RETURNING epoch, position, hash, store_epoch, store_created_at"
    );
    Ok(client.query_opt(&sql, &[&NAME, &owner, &(lease_ms as f64)]).await?.as_ref().map(Checkpoint::from_row))
}

/// Extends the lease; false when another projector has it.
pub(crate) async fn renew(client: &Client, epoch: i64, lease_ms: i64) -> Result<bool, Error> {
    let sql = "UPDATE capstan.checkpoint SET lease_until = clock_timestamp() + $3 * interval '1 millisecond' \
               WHERE name = $1 AND epoch = $2";
    Ok(client.execute(sql, &[&NAME, &epoch, &(lease_ms as f64)]).await? == 1)
}

/// Releases the lease, so that the next projector need not wait for it to expire.
pub(crate) async fn release(client: &Client, epoch: i64) -> Result<(), Error> {
    let sql = "UPDATE capstan.checkpoint SET owner = NULL, lease_until = clock_timestamp() \
               WHERE name = $1 AND epoch = $2";
    client.execute(sql, &[&NAME, &epoch]).await.map(|_| ())
}

/// An advance of the checkpoint.
#[derive(Clone, Debug)]
pub(crate) struct Advance {
    pub(crate) epoch: i64,
    pub(crate) from: Position,
    pub(crate) position: Position,
    pub(crate) hash: CommitHash,
    pub(crate) recorded_at: DateTime<Utc>,
    pub(crate) identity: LogIdentity,
    pub(crate) lease_ms: i64,
}

/// Advances the checkpoint inside the open transaction; false when another projector has taken over.
pub(crate) async fn advance(session: &Session, to: &Advance) -> Result<bool, Error> {
    let sql = "UPDATE capstan.checkpoint \
               SET position = $4, hash = $5, recorded_at = $6, store_epoch = $7, store_created_at = $8, \
                   lease_until = clock_timestamp() + $9 * interval '1 millisecond' \
               WHERE name = $1 AND epoch = $2 AND position = $3";
    let statement = session.prepared(sql).await?;
    let moved = session
        .client()
        .execute(
            &statement,
            &[
                &NAME,
                &to.epoch,
                &(to.from.sequence() as i64),
                &(to.position.sequence() as i64),
                &to.hash.to_string(),
                &to.recorded_at,
                &to.identity.store_epoch,
                &to.identity.created_at,
                &(to.lease_ms as f64),
            ],
        )
        .await?;
    Ok(moved == 1)
}

/// The difference between this log and the one the rows were folded from, or `None`.
pub(crate) async fn diverged(
    log: &Arc<dyn EventLog>,
    checkpoint: &Checkpoint,
    identity: &LogIdentity,
) -> Result<Option<String>, ReadError> {
    if checkpoint.position == Position::START {
        return Ok(None);
    }
    if let Some(known) = &checkpoint.identity
        && !same(known, identity)
    {
        return Ok(Some(format!(
            "the log has identity {} of {}; the read models were folded from {} of {}",
            identity.store_epoch, identity.created_at, known.store_epoch, known.created_at
        )));
    }
    let head = log.head().await?;
    if !head.reaches(checkpoint.position) {
        return Ok(Some(format!("the log ends at {head}, the read models are at {}", checkpoint.position)));
    }
    let hash = log.at(checkpoint.position).await?.map(|recorded| recorded.hash);
    Ok((hash != Some(checkpoint.hash)).then(|| {
        format!("the commit at {} is not the one the read models were folded from", checkpoint.position)
    }))
}

/// Compares identities to the microsecond, the precision of Postgres.
fn same(known: &LogIdentity, now: &LogIdentity) -> bool {
    known.store_epoch == now.store_epoch
        && known.created_at.timestamp_micros() == now.created_at.timestamp_micros()
}
