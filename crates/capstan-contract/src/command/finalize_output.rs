use capstan_domain::id::OutputId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Gives an output its final summary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FinalizeOutput {
    /// Id of the output.
    pub output_id: OutputId,
    /// The summary.
    pub summary: String,
}
