use capstan_domain::id::RunId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Says something to the task of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnqueueRunInput {
    /// Repeats under the same key are answered with the first outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// The run; needed where no path names it, that is on the bus and in batches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
    /// The text.
    #[serde(default)]
    #[schemars(!default)]
    pub message: String,
    /// `followup` (default), `queue`, `steer`, `steer-backlog` or `interrupt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_mode: Option<String>,
}
