use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Lists the read models.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListProjections {}

/// Rebuilds a read model, or all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RebuildProjection {
    /// Name of the read model; `all` for all of them.
    pub name: String,
}

/// Compares the rows of a read model, or of all of them, with the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VerifyProjection {
    /// Name of the read model; `all` for all of them.
    pub name: String,
}
