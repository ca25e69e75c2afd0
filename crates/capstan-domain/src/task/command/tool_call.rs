//! Requests about calls of tools.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::id::{AttemptId, ToolCallId, WorkerId};
use crate::task::event::{ToolExecutor, ToolOutcome};
use crate::workspace::settings::ApprovalPolicy;

/// Asks whether the agent may call a tool now (the gate).
#[derive(Clone, Debug, PartialEq)]
pub struct CheckToolCall {
    /// The fence.
    pub attempt_id: AttemptId,
    /// The tool.
    pub tool: String,
    /// What it is to be called with.
    pub arguments: Value,
    /// What it would do, in one line, as the agent puts it.
    pub summary: Option<String>,
    /// More about it.
    pub details: Option<String>,
    /// Whether it changes anything.
    pub is_write: bool,
    /// What the workspace lets agents write without asking.
    pub approval_policy: ApprovalPolicy,
    /// True when the workspace forbids the tool.
    pub is_disabled: bool,
    /// Who can carry the call out once it is approved.
    pub executor: Option<ToolExecutor>,
    /// When.
    pub at: DateTime<Utc>,
}

/// Somebody begins to carry out an approved call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartToolCall {
    /// The call.
    pub tool_call_id: ToolCallId,
    /// The number of this try.
    pub try_no: u32,
    /// The worker that does it; the control plane itself when absent.
    pub worker_id: Option<WorkerId>,
    /// True when the try before is known to have failed: nobody waits for its claim to pass.
    pub has_failed: bool,
    /// When it counts as lost.
    pub until: DateTime<Utc>,
    /// When.
    pub at: DateTime<Utc>,
}

/// A call was carried out, or given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndToolCall {
    /// The call.
    pub tool_call_id: ToolCallId,
    /// The try that says so.
    pub try_no: u32,
    /// The worker that says so.
    pub worker_id: Option<WorkerId>,
    /// How it ended.
    pub outcome: ToolOutcome,
    /// The exit code, when there is one.
    pub exit_code: Option<i32>,
    /// What it wrote.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
    /// What went wrong.
    pub error: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}
