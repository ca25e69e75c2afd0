use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Asks whether the agent may call a tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CheckToolCall {
    /// The tool.
    pub tool: String,
    /// Arguments of the call.
    #[serde(default)]
    pub arguments: Value,
    /// Effect of the call in one line; derived from the arguments when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// Details for the person who decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
    /// True (default) when the call changes anything.
    #[serde(default = "yes")]
    pub is_write: bool,
}

impl CheckToolCall {
    /// Asks for a call that is taken to change something.
    pub fn new(tool: impl Into<String>, arguments: Value) -> Self {
        Self { tool: tool.into(), arguments, summary: None, details: None, is_write: yes() }
    }
}

fn yes() -> bool {
    true
}
