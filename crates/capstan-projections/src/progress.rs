//! How far the read models are, for those who wait.

use std::time::Duration;

use capstan_envelope::Position;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use crate::checkpoint;
use crate::queries::QueryError;
use crate::read_models::ReadModels;

/// How often the checkpoint row is read while somebody waits and nobody tells us.
const POLL: Duration = Duration::from_millis(20);

/// The position was not reached in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("wait for position {wanted}: the read models are at {current}")]
pub struct PositionTimeout {
    /// What was waited for.
    pub wanted: Position,
    /// Where the read models stood at the end.
    pub current: Position,
}

/// The newest position anybody in this process has heard of.
#[derive(Debug)]
pub(crate) struct Progress {
    reached: watch::Sender<Position>,
    polled: Mutex<Option<Instant>>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { reached: watch::Sender::new(Position::START), polled: Mutex::new(None) }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Position> {
        self.reached.subscribe()
    }

    /// Raises the position; never lowers it.
    pub(crate) fn observe(&self, position: Position) {
        self.reached.send_if_modified(|reached| {
            // Another history may have reached the same number with another commit.
            let moved = position.reaches(*reached) && position != *reached;
            if moved {
                *reached = position;
            }
            moved
        });
    }

    /// Sets the position even to a lower one, after the tables were made anew for another log.
    pub(crate) fn reset(&self, position: Position) {
        self.reached.send_if_modified(|reached| {
            let moved = position != *reached;
            *reached = position;
            moved
        });
    }
}

impl ReadModels {
    /// The position all reads have reached at least, as far as this process has heard.
    pub fn reached(&self) -> watch::Receiver<Position> {
        self.progress().subscribe()
    }

    /// Tells waiters of a position that another process' projector has reached.
    pub fn observe(&self, position: Position) {
        self.progress().observe(position);
    }

    /// Reads the position from the checkpoint.
    pub async fn position(&self) -> Result<Position, QueryError> {
        let position = self.stored_position().await?;
        self.progress().observe(position);
        Ok(position)
    }

    /// Reads the position from the checkpoint and forgets what was heard, even of a higher one: for callers who found
    /// that it belongs to another history of the log.
    pub async fn reset_position(&self) -> Result<Position, QueryError> {
        let position = self.stored_position().await?;
        self.progress().reset(position);
        Ok(position)
    }

    async fn stored_position(&self) -> Result<Position, QueryError> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached("SELECT position, hash FROM capstan.checkpoint")
            .await
            .map_err(QueryError::unavailable)?;
        let row = client.query_opt(&statement, &[]).await.map_err(QueryError::unavailable)?;
        Ok(row.as_ref().map_or(Position::START, checkpoint::position))
    }

    /// Waits until reads see everything up to `position`. Works with and without a projector in this process.
    pub async fn wait_for(&self, position: Position, timeout: Duration) -> Result<Position, PositionTimeout> {
        let mut reached = self.reached();
        let wait = async {
            loop {
                let current = *reached.borrow_and_update();
                if current.reaches(position) {
                    return current;
                }
                let asked = async {
                    tokio::time::sleep(POLL).await;
                    self.poll().await;
                };
                // News of this process' own projector count even while Postgres takes its time.
                tokio::select! {
                    _ = reached.changed() => {}
                    () = asked => {}
                }
            }
        };
        match tokio::time::timeout(timeout, wait).await {
            Ok(current) => Ok(current),
            Err(_) => Err(PositionTimeout { wanted: position, current: *self.reached().borrow() }),
        }
    }

    /// Reads the checkpoint once for all waiters.
    async fn poll(&self) {
        let mut polled = self.progress().polled.lock().await;
        if polled.is_some_and(|at| at.elapsed() < POLL) {
            return;
        }
        // A failure only means that the waiter goes on waiting until its time is over.
        let _ = self.position().await;
        *polled = Some(Instant::now());
    }
}
