use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Starts the attempt: the worker begins to execute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StartAttempt {}
