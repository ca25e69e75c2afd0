//! Settings of the engine.

use std::time::Duration;

use capstan_contract::subject::Subjects;
use capstan_domain::matching;

/// How the engine works.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The subjects it answers on.
    pub subjects: Subjects,
    /// The key-value bucket that says who leads.
    pub bucket: String,
    /// Copies of that bucket in a cluster.
    pub replicas: usize,
    /// An engine that has not been heard of for so long leads no more.
    pub leader_ttl: Duration,
    /// How long a lease lasts without renewal, in milliseconds.
    pub lease_ms: i64,
    /// How often workers are asked to renew, in milliseconds.
    pub renew_every_ms: i64,
    /// How long a worker has to stop after a time-out or deadline, in milliseconds.
    pub grace_ms: i64,
    /// How runs are matched to workers.
    pub matching: matching::Config,
    /// Commands under way at once.
    pub orders_max: usize,
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
        }
    }
}
