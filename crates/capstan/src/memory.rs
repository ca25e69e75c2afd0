//! The memory of a serving process for what it could do without: caches, recent events, queues.
//!
//! Not in it are the process itself, the engine's facts about open tasks, live subscribers, requests under way, and a rebuild
//! of the read models, which has a setting of its own. See docs/operations/sizing.md, Memory of a process.

use std::time::Duration;

use capstan_dispatch::StreamCache;
use capstan_envelope::MemoryShare;
use capstan_projections::ProjectorMemory;

use crate::metric;

/// Default of the budget, in MB.
pub(crate) const DEFAULT_MB: u32 = 256;
/// Least budget, in MB: every queue has room for a few of the largest commits, of 1 MB each.
pub(crate) const MIN_MB: u32 = 64;
/// Most, in MB.
pub(crate) const MAX_MB: u32 = 1_000_000;

/// The budget is divided into so many equal pieces. Some are nobody's: for what estimates miss, and what the allocator keeps.
const PIECES: usize = 64;
/// Interval at which the gauges are set.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);

/// A part of the process that holds memory of the budget.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    /// States of streams for the commands on them, of all dispatchers together.
    Streams,
    /// The newest commits of the log, for the readers of this process.
    Tail,
    /// The same with their frames, for live subscribers that come back.
    Recent,
    /// Rows of the read models that the projector keeps and reads.
    Rows,
    /// Commits on their way into the read models.
    Commits,
    /// The log and the open tasks on their way into the engine when it begins to lead.
    Start,
    /// Durable commands from NATS that are held or on their way.
    Intake,
    /// Configurations that agents had before.
    PastConfigs,
}

impl Part {
    const ALL: [Self; 8] = [
        Self::Streams,
        Self::Tail,
        Self::Recent,
        Self::Rows,
        Self::Commits,
        Self::Start,
        Self::Intake,
        Self::PastConfigs,
    ];

    /// Name in the label of the gauges.
    fn name(self) -> &'static str {
        match self {
            Self::Streams => "streams",
            Self::Tail => "tail",
            Self::Recent => "recent",
            Self::Rows => "rows",
            Self::Commits => "commits",
            Self::Start => "start",
            Self::Intake => "intake",
            Self::PastConfigs => "past_configs",
        }
    }

    /// Pieces of the budget.
    fn pieces(self) -> usize {
        match self {
            Self::Commits => 12,
            Self::Rows => 10,
            Self::Streams | Self::Start => 8,
            Self::Recent => 6,
            Self::Tail | Self::Intake => 4,
            Self::PastConfigs => 1,
        }
    }
}

/// The shares of all parts.
#[derive(Clone, Debug)]
pub(crate) struct MemoryBudget([MemoryShare; Part::ALL.len()]);

impl MemoryBudget {
    /// Divides so many MB.
    pub(crate) fn of_mb(mb: u32) -> Self {
        let piece = mb as usize * 1_000_000 / PIECES;
        Self(Part::ALL.map(|part| MemoryShare::new(part.pieces() * piece)))
    }

    /// The share of a part.
    pub(crate) fn share(&self, part: Part) -> MemoryShare {
        self.0[part as usize].clone()
    }

    /// A memory of streams, for all dispatchers of the process.
    pub(crate) fn streams(&self) -> StreamCache {
        StreamCache::new(self.share(Part::Streams))
    }

    /// The memory of the projector.
    pub(crate) fn projector(&self) -> ProjectorMemory {
        ProjectorMemory { rows: self.share(Part::Rows), commits: self.share(Part::Commits) }
    }

    /// Publishes who holds how much, for ever.
    pub(crate) async fn publish(self) {
        loop {
            for (part, share) in Part::ALL.iter().zip(&self.0) {
                metrics::gauge!(metric::MEMORY, "part" => part.name()).set(share.held() as f64);
                metrics::gauge!(metric::MEMORY_LIMIT, "part" => part.name()).set(share.limit() as f64);
            }
            tokio::time::sleep(PUBLISH_EVERY).await;
        }
    }
}

impl Default for MemoryBudget {
    fn default() -> Self {
        Self::of_mb(DEFAULT_MB)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_shares_are_no_more_than_the_budget() {
        assert!(Part::ALL.iter().map(|part| part.pieces()).sum::<usize>() < PIECES);
        for mb in [MIN_MB, DEFAULT_MB, MAX_MB] {
            let budget = MemoryBudget::of_mb(mb);
            let limits: Vec<_> = budget.0.iter().map(MemoryShare::limit).collect();
            assert!(limits.iter().sum::<usize>() <= mb as usize * 1_000_000, "{limits:?} of {mb} MB");
        }
    }

    #[test]
    fn each_part_has_a_share_of_its_own_under_its_own_name() {
        let budget = MemoryBudget::default();
        for (index, part) in Part::ALL.into_iter().enumerate() {
            assert_eq!((part as usize, budget.share(part).held()), (index, 0));
            let held = budget.share(part).hold(1);
            assert_eq!(budget.0.iter().map(MemoryShare::held).sum::<usize>(), 1, "{part:?}");
            drop(held);
        }
        assert_eq!(Part::ALL.map(Part::name).into_iter().collect::<BTreeSet<_>>().len(), Part::ALL.len());
    }
}
