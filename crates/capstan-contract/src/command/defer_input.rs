use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The input could not be put into the live turn: it waits for the end of the turn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeferInput {
    /// Reason the input was deferred.
    pub reason: String,
}
