//! Commands about tool calls.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::canonical;
use crate::id::{AttemptId, TaskId, ToolCallId, WorkerId};
use crate::task::event::{ToolExecutor, ToolOutcome};
use crate::workspace::settings::ApprovalPolicy;

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

    /// The text that a decision on the arguments is bound to. It is stored as its fingerprint under the key of the log, which
    /// only the application has. Equal arguments of two tasks have two fingerprints.
    pub fn arguments_identity(&self, task: TaskId) -> String {
        canonical::text(json!(["tool call", task, self.arguments]))
    }
}

fn yes() -> bool {
    true
}

/// A call as the gate decides on it: what the worker sent, and the facts beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolCheck {
    /// What the worker sent.
    pub command: CheckToolCall,
    /// Fingerprint of its [`CheckToolCall::arguments_identity`].
    pub arguments_fingerprint: String,
    /// The attempt that reports it.
    pub attempt_id: AttemptId,
    /// The workspace's policy for writes.
    pub approval_policy: ApprovalPolicy,
    /// True when the workspace forbids the tool.
    pub is_disabled: bool,
    /// True when the agent's configuration lists the tool under `allowed_tools`; asked for under `ask: on-miss` alone, see
    /// [`asks_for_what_is_not_listed`](crate::task::tool_call::asks_for_what_is_not_listed).
    pub is_listed: bool,
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
