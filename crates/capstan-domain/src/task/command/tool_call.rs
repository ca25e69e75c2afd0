//! Commands about tool calls.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::id::{AttemptId, ToolCallId, WorkerId};
use crate::task::event::{ToolExecutor, ToolOutcome};
use crate::workspace::settings::ApprovalPolicy;

/// Asks whether the agent may call a tool now (the gate).
#[derive(Clone, Debug, PartialEq)]
pub struct CheckToolCall {
    /// The attempt that reports it.
    pub attempt_id: AttemptId,
    /// The tool.
    pub tool: String,
    /// Its arguments.
    pub arguments: Value,
    /// Its effect in one line, in the agent's words.
    pub summary: Option<String>,
    /// Further details.
    pub details: Option<String>,
    /// True when the call changes anything.
    pub is_write: bool,
    /// The workspace's policy for writes.
    pub approval_policy: ApprovalPolicy,
    /// True when the workspace forbids the tool.
    pub is_disabled: bool,
    /// The executor that is available once the call is approved.
    pub executor: Option<ToolExecutor>,
}

/// The execution of an approved call begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartToolCall {
    /// The call.
    pub tool_call_id: ToolCallId,
    /// The number of this try.
    pub try_no: u32,
    /// The worker that does it; the control plane itself when absent.
    pub worker_id: Option<WorkerId>,
    /// True when the last try is known to have failed, so that its claim need not expire.
    pub has_failed: bool,
    /// The instant at which the try counts as lost.
    pub until: DateTime<Utc>,
}

/// A call was executed, or given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndToolCall {
    /// The call.
    pub tool_call_id: ToolCallId,
    /// The number of the try that reports.
    pub try_no: u32,
    /// The worker that reports.
    pub worker_id: Option<WorkerId>,
    /// Its outcome.
    pub outcome: ToolOutcome,
    /// The exit code, when there is one.
    pub exit_code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// The error, for people.
    pub error: Option<String>,
}
