use capstan_domain::id::OutputId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Puts an output away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ArchiveOutput {
    /// Id of the output.
    pub output_id: OutputId,
}
