use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Opens a workspace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreateWorkspace {
    /// Its name in every address: 1 to 128 of A-Z a-z 0-9 _ -.
    pub workspace: String,
    /// Display name; the name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
}
