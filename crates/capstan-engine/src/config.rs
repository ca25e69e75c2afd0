//! Settings of an engine.

use std::time::Duration;

use capstan_contract::subject::Subjects;
use capstan_domain::matching;
use capstan_envelope::MemoryShare;

/// Settings of the engine.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The subjects it answers on.
    pub subjects: Subjects,
    /// The key-value bucket of the election.
    pub bucket: String,
    /// Copies of that bucket in a cluster.
    pub replicas: usize,
    /// Time after its last renewal at which a leader is deposed.
    pub leader_ttl: Duration,
    /// Duration of a lease without renewal, in milliseconds.
    pub lease_ms: i64,
    /// Interval at which workers are asked to renew, in milliseconds.
    pub renew_every_ms: i64,
    /// Time a worker has to stop after a time-out or deadline, in milliseconds.
    pub grace_ms: i64,
    /// Settings of matching.
    pub matching: matching::Config,
    /// Most commands under way at once.
    pub orders_max: usize,
    /// Memory of what is on its way while a leader folds the log or reads the open tasks, beside what it keeps of them.
    pub start: MemoryShare,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            subjects: Subjects::default(),
            bucket: "CAPSTAN_ENGINE".to_owned(),
            replicas: 1,
            leader_ttl: Duration::from_secs(4),
            lease_ms: 30_000,
            renew_every_ms: 10_000,
            grace_ms: 10_000,
            matching: matching::Config::default(),
            orders_max: 1024,
            start: MemoryShare::unlimited(),
        }
    }
}
