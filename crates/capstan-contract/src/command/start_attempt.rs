use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Starts the attempt: the worker begins to execute. The body is an empty object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StartAttempt {}
