//! Configuration of the projector.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use capstan_envelope::Position;

use crate::replay::config::ReplayConfig;

/// Called with the new position after each transaction of the projector.
pub type OnProgress = Arc<dyn Fn(Position) + Send + Sync>;

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
    /// Memory, processors and disk of a rebuild.
    pub replay: ReplayConfig,
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
            replay: ReplayConfig::default(),
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
            .field("replay", &self.replay)
            .finish_non_exhaustive()
    }
}
