//! The age of the oldest commit that the read models do not include. It is read from the log, outside the loop that
//! applies commits, because that loop may be stuck.

use std::sync::Arc;
use std::time::Duration;

use capstan_envelope::Position;
use capstan_eventlog::EventLog;
use chrono::{DateTime, Utc};
use tokio::time::{Instant, timeout};

/// Timeout of one call to the log.
pub(super) const LOG_TIMEOUT: Duration = Duration::from_secs(1);

/// The oldest commit after a position.
#[derive(Debug)]
pub(super) struct Lag {
    position: Position,
    /// Time the commit after the position was recorded, if known.
    oldest: Option<DateTime<Utc>>,
    /// Time a commit after the position was first observed.
    since: Instant,
}

impl Lag {
    /// No commit is known.
    pub(super) fn new() -> Self {
        Self::at(Position::START)
    }

    fn at(position: Position) -> Self {
        Self { position, oldest: None, since: Instant::now() }
    }

    /// The age in seconds, for a log that ends at `head`.
    pub(super) async fn seconds(
        &mut self,
        log: &Arc<dyn EventLog>,
        position: Position,
        head: Position,
    ) -> f64 {
        let is_behind = !position.reaches(head);
        if position != self.position || !is_behind {
            *self = Self::at(position);
        }
        if !is_behind {
            return 0.0;
        }
        if self.oldest.is_none() {
            let next = timeout(LOG_TIMEOUT, log.next(position)).await;
            self.oldest = next.ok().and_then(Result::ok).flatten().map(|next| next.recorded_at);
        }
        match self.oldest {
            Some(oldest) => (Utc::now() - oldest).as_seconds_f64().max(0.0),
            None => self.since.elapsed().as_secs_f64(),
        }
    }
}
