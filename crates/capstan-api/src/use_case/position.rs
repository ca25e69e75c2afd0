//! Positions that callers name: compared with the log before anything is answered by them.

use std::time::{Duration, Instant};

use capstan_envelope::Position;

use crate::App;
use crate::problem::{Code, Problem};

/// Where a position stands in the log's history.
enum Place {
    /// The log has its commit.
    Held,
    /// In the beginning that was archived, by its number: nothing is left to compare its mark with.
    Archived,
    /// Nowhere: of another log, of one that was restored to an older state, or beyond the end.
    Unknown,
}

impl App {
    /// Refuses a position whose commit the log does not have. Recent positions are compared in memory, others with one read
    /// of the log.
    pub(crate) async fn must_hold(&self, position: Position) -> Result<(), Problem> {
        match self.place(position).await? {
            Place::Held => Ok(()),
            Place::Archived => Err(self.archived(position)),
            Place::Unknown => Err(self.unknown(position)),
        }
    }

    /// The problem that what is asked about this position is archived.
    pub(crate) fn archived(&self, position: Position) -> Problem {
        self.not_held(format!("what stood at position {position} is archived"))
    }

    fn unknown(&self, position: Position) -> Problem {
        self.not_held(format!(
            "the log does not hold position {position}: it was reset or restored, or is another log"
        ))
    }

    fn not_held(&self, detail: String) -> Problem {
        let known = Some(self.reads.position()).filter(|position| *position != Position::START);
        Problem { position: known, ..Problem::new(Code::PositionUnknown, detail) }
    }

    /// Waits until reads show everything up to `position`, which the log must hold or have archived. Rows of another history
    /// of the log never count as having reached it.
    pub(crate) async fn wait_for(&self, position: Position, wait: Duration) -> Result<(), Problem> {
        if let Place::Unknown = self.place(position).await? {
            return Err(self.unknown(position));
        }
        let deadline = Instant::now() + wait;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let reached = self.reads.wait_for(position, left).await?;
            if self.holds(reached).await? {
                return Ok(());
            }
            let stored = self.reads.models().reset_position().await?;
            if !self.holds(stored).await? {
                let detail =
                    format!("the read models are at {stored}, a position of another log; rebuild them");
                return Err(Problem::new(Code::ReadModelUnavailable, detail));
            }
        }
    }

    async fn holds(&self, position: Position) -> Result<bool, Problem> {
        match self.live.holds(position) {
            Some(is_held) => Ok(is_held),
            None => Ok(self.log.holds(position).await?),
        }
    }

    async fn place(&self, position: Position) -> Result<Place, Problem> {
        match self.live.holds(position) {
            Some(true) => return Ok(Place::Held),
            // Memory has another commit of this number.
            Some(false) => return Ok(Place::Unknown),
            None if self.log.holds(position).await? => return Ok(Place::Held),
            None => {}
        }
        let is_archived = || position.sequence() <= self.log.archived().through;
        if !is_archived() {
            // Another process may have archived it since this one last asked the server.
            self.log.identity().await?;
        }
        Ok(if is_archived() { Place::Archived } else { Place::Unknown })
    }
}
