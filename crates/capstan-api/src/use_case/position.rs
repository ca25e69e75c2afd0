//! Positions that callers name: compared with the log before anything is answered by them.

use std::time::{Duration, Instant};

use capstan_envelope::Position;

use crate::App;
use crate::problem::{Code, Problem};

impl App {
    /// Refuses a position that is not part of the log's history: of another log, of one that was restored to an older
    /// state, or beyond the end. Recent positions are compared in memory, others with one read of the log.
    pub(crate) async fn must_hold(&self, position: Position) -> Result<(), Problem> {
        if self.holds(position).await? {
            return Ok(());
        }
        let detail =
            format!("the log does not hold position {position}: it was reset or restored, or is another log");
        let known = Some(self.reads.position()).filter(|position| *position != Position::START);
        Err(Problem { position: known, ..Problem::new(Code::PositionUnknown, detail) })
    }

    /// Waits until reads show everything up to `position`, which the log must hold. Rows of another history of the log
    /// never count as having reached it.
    pub(crate) async fn wait_for(&self, position: Position, wait: Duration) -> Result<(), Problem> {
        self.must_hold(position).await?;
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
}
