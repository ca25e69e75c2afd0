use capstan_domain::id::RunId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Cancels a run, and with it its task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CancelRun {
    /// Id of the run.
    pub run_id: RunId,
    /// Reason; free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
