use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Adds rows to an output's `data.rows`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AppendRows {
    /// The new rows.
    pub rows: Vec<Value>,
}
