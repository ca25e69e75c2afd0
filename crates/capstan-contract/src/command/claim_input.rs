use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Claims the oldest pending input for the live attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClaimInput {}
