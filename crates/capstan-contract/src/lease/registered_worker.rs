use capstan_domain::id::WorkerId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The worker is known and may ask for attempts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RegisteredWorker {
    /// Its id in every further call.
    pub worker_id: WorkerId,
    /// How long a lease lasts without renewal, in milliseconds.
    pub lease_ms: i64,
    /// How often it should renew, in milliseconds.
    pub renew_every_ms: i64,
}
