use capstan_domain::id::WorkerId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The worker is known and may ask for attempts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RegisteredWorker {
    /// Its id in every further call.
    pub worker_id: WorkerId,
    /// Lifetime of a lease without renewal, in milliseconds.
    pub lease_ms: i64,
    /// Renewal interval, in milliseconds.
    pub renew_every_ms: i64,
}
