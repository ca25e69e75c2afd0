use capstan_domain::id::InputId;
use capstan_domain::task::event::InputKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// An input the attempt took; it is the agent's once the worker acknowledges it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClaimedInput {
    /// The input.
    pub input_id: InputId,
    /// Its place in the inbox, from 1.
    pub seq: u32,
    /// Kind of the input.
    #[serde(deserialize_with = "super::input_kind")]
    pub kind: InputKind,
    /// The text.
    pub message: String,
    /// Answers by question id.
    #[serde(default)]
    pub answers: Map<String, Value>,
}
