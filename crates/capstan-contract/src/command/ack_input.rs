use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The agent has the claimed input. The path says everything; the body is an empty object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AckInput {}
