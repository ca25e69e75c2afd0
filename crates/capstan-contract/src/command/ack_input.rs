use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Acknowledges a claimed input: the agent has received it. The body is an empty object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AckInput {}
