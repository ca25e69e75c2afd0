use capstan_domain::usage::Usage;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Records what an attempt used since its last report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecordUsage {
    /// Tokens and cost.
    pub usage: Usage,
}
