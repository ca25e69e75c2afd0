use std::fmt;
use std::str::FromStr;

use capstan_domain::id::{RunId, TaskId, ToolCallId};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An approved tool call a worker is to carry out now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClaimedToolCall {
    /// The right to it, and the address of its result. Opaque.
    pub claim: String,
    /// The call: the idempotency key of its execution, the same for every try.
    pub tool_call_id: ToolCallId,
    /// The number of this try, from 1.
    pub try_no: u32,
    /// The task's workspace.
    pub workspace: String,
    /// The task.
    pub task_id: TaskId,
    /// The run whose agent wants it.
    pub run_id: RunId,
    /// The tool.
    pub tool: String,
    /// Arguments of the call.
    pub arguments: Value,
    /// Time the claim expires; another worker may then receive the call.
    pub until: DateTime<Utc>,
}

/// The right to one try of a tool call. On the wire one opaque string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolClaim {
    /// The task's workspace.
    pub workspace: String,
    /// The task.
    pub task_id: TaskId,
    /// The call.
    pub tool_call_id: ToolCallId,
    /// The number of the try.
    pub try_no: u32,
}

/// A text that is no claim.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a claim: <workspace>.<task id>.<tool call id>.<number of the try>")]
pub struct ParseToolClaimError;

impl fmt::Display for ToolClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}.{}", self.workspace, self.task_id, self.tool_call_id, self.try_no)
    }
}

impl FromStr for ToolClaim {
    type Err = ParseToolClaimError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<_> = text.split('.').collect();
        let [workspace, task, call, try_no] = parts[..] else { return Err(ParseToolClaimError) };
        Ok(Self {
            workspace: workspace.to_owned(),
            task_id: task.parse().map_err(|_| ParseToolClaimError)?,
            tool_call_id: call.parse().map_err(|_| ParseToolClaimError)?,
            try_no: try_no.parse().map_err(|_| ParseToolClaimError)?,
        })
    }
}
