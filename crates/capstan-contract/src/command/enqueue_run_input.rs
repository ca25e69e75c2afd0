use capstan_domain::id::RunId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Sends an input to the task of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EnqueueRunInput {
    /// Id of the run.
    pub run_id: RunId,
    /// The text.
    pub message: String,
    /// `followup` (default), `queue`, `steer`, `steer-backlog` or `interrupt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_mode: Option<String>,
}
