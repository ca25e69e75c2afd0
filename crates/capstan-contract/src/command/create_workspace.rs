use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Opens a workspace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateWorkspace {
    /// Repeats under the same key are answered with the first outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// Its name in every address: 1 to 128 of A-Z a-z 0-9 _ -.
    #[serde(default)]
    #[schemars(!default)]
    pub workspace: String,
    /// What people call it; the name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
}
