use capstan_domain::id::InputId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The input could not be put into the live turn: it waits for the end of the turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeferInput {
    /// Id of the input.
    pub input_id: InputId,
    /// Reason the input was deferred.
    pub reason: String,
}
