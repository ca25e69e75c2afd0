use capstan_domain::id::WorkerId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Stops leasing new attempts to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DrainWorker {
    /// Id of the worker.
    pub worker_id: WorkerId,
}
