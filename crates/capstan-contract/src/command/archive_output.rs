use capstan_domain::id::OutputId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Archives an output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ArchiveOutput {
    /// Id of the output.
    pub output_id: OutputId,
}
