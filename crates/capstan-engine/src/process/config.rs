//! Settings of the process.

use capstan_domain::matching;

/// Settings of the process.
#[derive(Clone, Copy, Debug)]
pub struct ProcessConfig {
    /// Duration of a lease without renewal, in milliseconds.
    pub lease_ms: i64,
    /// Interval at which workers are asked to renew, in milliseconds.
    pub renew_every_ms: i64,
    /// Time a worker has to stop, in milliseconds.
    pub grace_ms: i64,
    /// Settings of matching.
    pub matching: matching::Config,
}
