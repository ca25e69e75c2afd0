//! Configuration of the projector.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use capstan_envelope::{MemoryShare, Position};

use crate::replay::config::ReplayConfig;
use crate::search::BLOCK;

/// Called with the new position after each transaction of the projector.
pub type OnProgress = Arc<dyn Fn(Position) + Send + Sync>;

/// Memory of the projector.
#[derive(Clone, Debug)]
pub struct ProjectorMemory {
    /// Rows: two thirds for those kept from batch to batch, the rest for those that a batch reads.
    pub rows: MemoryShare,
    /// Commits on their way into the read models: read ahead, gathered, and being written.
    pub commits: MemoryShare,
}

impl ProjectorMemory {
    /// Bytes of rows to keep.
    pub(crate) fn kept_bytes(&self) -> usize {
        self.rows.limit() / 3 * 2
    }

    /// Bytes of rows that a batch reads, as far as they can be foreseen.
    pub(crate) fn read_bytes(&self) -> usize {
        self.rows.limit() / 3
    }

    /// Bytes of commits at which a batch is full. One is gathered while another is written.
    pub(crate) fn batch_bytes(&self) -> usize {
        self.commits.limit() / 4
    }

    /// Bytes of commits that are decoded at once. Three such pieces are read ahead, and the last one of a batch may exceed it.
    pub(crate) fn piece_bytes(&self) -> usize {
        self.commits.limit() / 16
    }
}

impl Default for ProjectorMemory {
    /// Without limits.
    fn default() -> Self {
        Self { rows: MemoryShare::unlimited(), commits: MemoryShare::unlimited() }
    }
}

/// Configuration of the projector.
#[derive(Clone)]
pub struct ProjectorConfig {
    /// Name of the lease holder; must differ between processes.
    pub owner: String,
    /// Maximum number of commits in one transaction.
    pub batch_commits_max: usize,
    /// Time a batch that is not full waits for more commits, at most 5 ms. Zero applies what has arrived. A busy
    /// projector waits longer, see `BUSY_LINGER`.
    pub linger: Duration,
    /// Duration of the lease without renewal.
    pub lease: Duration,
    /// Interval at which an idle projector renews the lease.
    pub renew_every: Duration,
    /// Memory of rows and commits.
    pub memory: ProjectorMemory,
    /// Memory, processors and disk of a rebuild.
    pub replay: ReplayConfig,
    /// Tasks of a block of the index of texts, at most 4,096. Until that many are new, a search looks at each of them.
    pub search_block: usize,
    /// Called with every new position, for example to publish it to other processes.
    pub on_progress: Option<OnProgress>,
}

impl Default for ProjectorConfig {
    fn default() -> Self {
        Self {
            owner: format!(
                "{}-{}",
                std::process::id(),
                uuid::Uuid::from_u64_pair(nanos(), nanos()).as_simple()
            ),
            batch_commits_max: 5_000,
            linger: Duration::ZERO,
            lease: Duration::from_secs(10),
            renew_every: Duration::from_secs(3),
            memory: ProjectorMemory::default(),
            replay: ReplayConfig::default(),
            search_block: BLOCK,
            on_progress: None,
        }
    }
}

/// Nanoseconds of the clock, so that processes started one after the other have different names.
fn nanos() -> u64 {
    chrono::Utc::now().timestamp_nanos_opt().unwrap_or_default().unsigned_abs()
}

impl fmt::Debug for ProjectorConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProjectorConfig")
            .field("owner", &self.owner)
            .field("batch_commits_max", &self.batch_commits_max)
            .field("linger", &self.linger)
            .field("lease", &self.lease)
            .field("renew_every", &self.renew_every)
            .field("memory", &self.memory)
            .field("replay", &self.replay)
            .field("search_block", &self.search_block)
            .finish_non_exhaustive()
    }
}
