use capstan_domain::id::InputId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Acknowledges a claimed input: the agent has received it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AckInput {
    /// Id of the input.
    pub input_id: InputId,
}
