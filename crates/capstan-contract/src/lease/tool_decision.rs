use capstan_domain::id::{BlockerId, ToolCallId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The decision of the gate on a tool call.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ToolDecision {
    /// The decision; only `allow` permits the call.
    #[serde(default)]
    pub decision: Decision,
    /// The call, when it was deferred.
    pub tool_call_id: Option<ToolCallId>,
    /// The question people are asked, when they are.
    pub blocker_id: Option<BlockerId>,
    /// The reason, for people.
    #[serde(default)]
    pub reason: String,
}

/// A decision of the gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "GateDecision")]
pub enum Decision {
    /// Call it, now.
    Allow,
    /// Deferred until a person decides. Do not call it.
    Deferred,
    /// Another decision of the task is open. Do not call it.
    Pending,
    /// Do not call it; also a decision that only a newer server knows.
    #[default]
    #[serde(other)]
    Rejected,
}

impl Decision {
    /// True when the outcome arrives later, as an input or by a new run.
    pub fn is_kept(self) -> bool {
        matches!(self, Self::Deferred | Self::Pending)
    }
}
