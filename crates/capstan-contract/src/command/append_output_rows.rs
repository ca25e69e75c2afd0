use capstan_domain::id::OutputId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Adds rows to an output's `data.rows`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AppendOutputRows {
    /// Id of the output.
    pub output_id: OutputId,
    /// The new rows.
    pub rows: Vec<Value>,
}
