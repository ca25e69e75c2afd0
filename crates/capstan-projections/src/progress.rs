//! The position of the read models, for callers that wait for one.

use std::time::Duration;

use capstan_envelope::Position;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use crate::checkpoint;
use crate::queries::QueryError;
use crate::read_models::ReadModels;

/// Interval between reads of the checkpoint while a caller waits.
const POLL: Duration = Duration::from_millis(20);

/// The position was not reached in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read models are at position {current}; {wanted} was requested")]
pub struct PositionTimeout {
    /// The requested position.
    pub wanted: Position,
    /// The position of the read models at the timeout.
    pub current: Position,
}

/// The newest position known in this process.
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

    /// Sets the position, even to a lower one: after a rebuild from another log.
    pub(crate) fn reset(&self, position: Position) {
        self.reached.send_if_modified(|reached| {
            let moved = position != *reached;
            *reached = position;
            moved
        });
    }
}

impl ReadModels {
    /// The newest position this process knows that reads include.
    pub fn reached(&self) -> watch::Receiver<Position> {
        self.progress().subscribe()
    }

    /// Records a position that the projector of another process has reached.
    pub fn observe(&self, position: Position) {
        self.progress().observe(position);
    }

    /// Reads the position from the checkpoint.
    pub async fn position(&self) -> Result<Position, QueryError> {
        let position = self.stored_position().await?;
        self.progress().observe(position);
        Ok(position)
    }

    /// Reads the position from the checkpoint and drops the known one, even a higher one: for callers that found it
    /// belongs to another history of the log.
    pub async fn reset_position(&self) -> Result<Position, QueryError> {
        let position = self.stored_position().await?;
        self.progress().reset(position);
        Ok(position)
    }

    async fn stored_position(&self) -> Result<Position, QueryError> {
        let rows = self.rows("SELECT position, hash FROM capstan.checkpoint", &[]).await?;
        Ok(rows.first().map_or(Position::START, checkpoint::position))
    }

    /// Waits until reads include everything up to `position`. Works with or without a projector in this process.
    pub async fn wait_for(&self, position: Position, timeout: Duration) -> Result<Position, PositionTimeout> {
        let mut reached = self.reached();
        let wait = async {
            loop {
                let current = *reached.borrow_and_update();
                if current.reaches(position) {
                    return current;
                }
                let polled = async {
                    tokio::time::sleep(POLL).await;
                    self.poll().await;
                };
                // A position from this process' projector counts even while Postgres is slow.
                tokio::select! {
                    _ = reached.changed() => {}
                    () = polled => {}
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
        // After a failure the caller keeps waiting until its timeout.
        let _ = self.position().await;
        *polled = Some(Instant::now());
    }
}
