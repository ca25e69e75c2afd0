use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The live attempt takes the oldest pending input. The path says everything; the body is an empty object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClaimInput {}
