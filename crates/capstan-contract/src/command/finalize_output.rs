use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Gives an output its final summary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FinalizeOutput {
    /// The summary.
    pub summary: String,
}
