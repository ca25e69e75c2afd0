use capstan_domain::id::WorkerId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::lease::SLOTS_MAX;

/// Most reports of one request.
pub const REPORTS_MAX: usize = 256;

/// Wire names of the calls that may travel together: the reports about an attempt.
pub const REPORTS: &[&str] = &[
    "append-logs",
    "append-run-events",
    "produce-output",
    "append-output-rows",
    "finalize-output",
    "open-blocker",
    "ack-input",
    "defer-input",
    "record-usage",
    "finish-attempt",
    "return-attempt",
];

/// Sends reports about a worker's attempts in one request, each with an outcome of its own. The request may ask for work too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SendReports {
    /// Id of the worker.
    pub worker_id: WorkerId,
    /// The reports. Each has the wire name of its call as `type`, and `attempt_id`, `lease_epoch`, `idempotency_key` and all
    /// other fields of the call. Those of one attempt are executed in their order.
    #[schemars(length(max = REPORTS_MAX))]
    pub reports: Vec<Map<String, Value>>,
    /// Largest number of attempts to lease after the reports, without a wait; 0, for none, by default.
    #[serde(default, skip_serializing_if = "is_none")]
    #[schemars(range(max = SLOTS_MAX))]
    pub lease_max: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_none(lease_max: &u32) -> bool {
    *lease_max == 0
}
