use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Reads a leased attempt in pages, where the answer to its lease had no room for all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FetchAttempt {
    /// Cursor of the page, as the one before it says; the first page by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}
