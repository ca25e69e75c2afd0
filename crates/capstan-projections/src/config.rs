//! How the projector works.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use capstan_envelope::Position;

/// Called after each commit of the projector with the position it reached.
pub type OnProgress = Arc<dyn Fn(Position) + Send + Sync>;

/// How the projector works.
#[derive(Clone)]
pub struct ProjectorConfig {
    /// Who holds the lease; must differ between processes.
    pub owner: String,
    /// Commits applied in one transaction at most.
    pub batch_commits_max: usize,
    /// How long a batch that is not full may wait for more commits. Zero applies whatever has arrived; more
    /// than 5 ms is cut to it. A busy projector waits longer, see `BUSY_LINGER`.
    pub linger: Duration,
    /// How long the lease lasts without renewal.
    pub lease: Duration,
    /// How often an idle projector renews the lease.
    pub renew_every: Duration,
    /// Streams a rebuild folds in memory before it turns to folding against the tables.
    pub rebuild_streams_max: usize,
    /// Bytes of stored events a rebuild folds in memory before it does so.
    pub rebuild_bytes_max: usize,
    /// Told about every position reached, for example to publish it to other processes.
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
            rebuild_streams_max: 300_000,
            rebuild_bytes_max: 512 * 1024 * 1024,
            on_progress: None,
        }
    }
}

/// The clock's finest digits: a name that differs between processes started one after the other.
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
            .field("rebuild_streams_max", &self.rebuild_streams_max)
            .field("rebuild_bytes_max", &self.rebuild_bytes_max)
            .finish_non_exhaustive()
    }
}
