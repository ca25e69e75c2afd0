use schemars::JsonSchema;
use serde::Deserialize;

/// Reads a workspace.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct GetWorkspace {}

/// Reads the newest tasks and outputs of a workspace.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct GetWorkspaceLiveBatch {}
