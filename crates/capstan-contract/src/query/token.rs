use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Lists the tokens of a workspace, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListTokens {
    /// True for revoked ones only, false for valid ones only.
    pub revoked: Option<bool>,
}
