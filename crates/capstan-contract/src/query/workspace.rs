use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Reads a workspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetWorkspace {}

/// Reads the newest tasks and outputs of a workspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetWorkspaceLiveBatch {}
