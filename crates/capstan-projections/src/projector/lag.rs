//! How old the oldest commit is that the read models do not show. It is asked of the log, beside the loop that
//! applies: that loop may be stuck.

use std::sync::Arc;
use std::time::Duration;

use capstan_envelope::Position;
use capstan_eventlog::EventLog;
use chrono::{DateTime, Utc};
use tokio::time::{Instant, timeout};

/// The longest one question to the log may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// What is known of the oldest commit after a position.
#[derive(Debug)]
pub(super) struct Lag {
    position: Position,
    /// When the commit after the position was recorded.
    oldest: Option<DateTime<Utc>>,
    /// Since when there is a commit after the position, as far as we know.
    since: Instant,
}

impl Lag {
    /// Nothing is known.
    pub(super) fn new() -> Self {
        Self::at(Position::START)
    }

    fn at(position: Position) -> Self {
        Self { position, oldest: None, since: Instant::now() }
    }

    /// The age, in seconds, when the log ends at `head`.
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
            let next = timeout(PATIENCE, log.next(position)).await;
            self.oldest = next.ok().and_then(Result::ok).flatten().map(|next| next.recorded_at);
        }
        match self.oldest {
            Some(oldest) => (Utc::now() - oldest).as_seconds_f64().max(0.0),
            None => self.since.elapsed().as_secs_f64(),
        }
    }
}
