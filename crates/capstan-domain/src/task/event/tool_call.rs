//! Tool calls that wait for an approval, and what became of them.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::{AttemptId, RunId, ToolCallId, WorkerId};

stored! {
/// The gate kept a tool call back: it waits for a decision.
pub struct ToolCallDeferred {
    /// The call.
    pub tool_call_id: ToolCallId,
    /// The run whose agent wants it.
    pub run_id: RunId,
    /// The attempt that asked.
    pub attempt_id: AttemptId,
    /// The tool.
    pub tool: String,
    /// What it is to be called with.
    pub arguments: Value,
    /// SHA-256 of the arguments in canonical JSON, as hex: what a decision is bound to.
    pub arguments_hash: String,
    /// What it would do, in one line.
    pub summary: String,
    /// More about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
    /// Who will carry it out once it is approved; without one, the agent itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<ToolExecutor>,
    /// When.
    pub at: DateTime<Utc>,
}

/// The gate let a tool call pass: the agent carries it out itself.
pub struct ToolCallAllowed {
    /// The run whose agent wants it.
    pub run_id: RunId,
    /// The attempt that asked.
    pub attempt_id: AttemptId,
    /// The tool.
    pub tool: String,
    /// SHA-256 of the arguments in canonical JSON, as hex.
    pub arguments_hash: String,
    /// Why it may pass.
    pub by: ToolPermission,
    /// When.
    pub at: DateTime<Utc>,
}

/// A kept call was decided on.
pub struct ToolCallDecided {
    /// The call.
    pub tool_call_id: ToolCallId,
    /// Yes or no.
    pub approved: bool,
    /// Who carries it out; without one, an approved call is the agent's to repeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<ToolExecutor>,
    /// Why, as said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}

/// Somebody begins to carry out an approved call.
pub struct ToolExecutionStarted {
    /// The call.
    pub tool_call_id: ToolCallId,
    /// Counts the tries of one call, from 1. They all carry the same idempotency key.
    pub try_no: u32,
    /// The worker that does it; the control plane itself when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_id: Option<WorkerId>,
    /// When it counts as lost.
    pub until: DateTime<Utc>,
    /// When.
    pub at: DateTime<Utc>,
}

/// An approved call was carried out, or given up.
pub struct ToolExecutionEnded {
    /// The call.
    pub tool_call_id: ToolCallId,
    /// How it ended.
    pub outcome: ToolOutcome,
    /// The exit code, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// What it wrote.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stdout: String,
    /// What it complained about.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stderr: String,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}
}

choice! {
/// Why a call may pass the gate.
pub enum ToolPermission {
    /// The workspace's policy allows it.
    Policy,
    /// This very call was approved shortly before.
    PreApproval,
}

/// Who carries out an approved call.
pub enum ToolExecutor {
    /// The HTTP endpoint the workspace registered for the tool.
    Http,
    /// A worker that declares the tool.
    Worker,
}

/// How the carrying out of a call ended.
pub enum ToolOutcome {
    /// Well.
    Ok,
    /// With an error.
    Error,
    /// Nobody knows whether it was done: the tries are used up.
    Unknown,
}
}
