//! Tool calls that wait for an approval, and what became of them.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::id::{AttemptId, RunId, ToolCallId, WorkerId};
use crate::implied::{self, At};

stored! {
/// The gate kept a tool call back: it waits for a decision.
pub struct ToolCallDeferred {
    /// The call.
    #[serde(with = "implied::tool_call")]
    #[schemars(with = "ToolCallId")]
    pub tool_call_id: ToolCallId,
    /// The attempt that asked.
    pub attempt_id: AttemptId,
    /// The run whose agent wants it.
    pub run_id: RunId,
    /// The tool.
    pub tool: String,
    /// Its arguments.
    #[serde(with = "implied::arguments")]
    #[schemars(with = "Value")]
    pub arguments: Value,
    /// Fingerprint of the arguments under the key of the log: what a decision is bound to.
    pub arguments_fingerprint: String,
    /// Its effect, in one line.
    #[serde(with = "implied::summary")]
    #[schemars(with = "String")]
    pub summary: String,
    /// Further details. Where they are no more than the arguments they are not stored.
    #[serde(default = "implied::shown_arguments", with = "implied::details")]
    #[serde(skip_serializing_if = "implied::is_shown_arguments")]
    #[schemars(with = "Option<String>", transform = implied::drawn)]
    pub details: Option<String>,
    /// The executor once it is approved; without one, the agent itself.
    pub executor: Option<ToolExecutor>,
    /// Time of the event.
    pub at: At,
}

/// The gate let a tool call pass: the agent carries it out itself.
pub struct ToolCallAllowed {
    /// The attempt that asked.
    pub attempt_id: AttemptId,
    /// The run whose agent wants it.
    pub run_id: RunId,
    /// The tool.
    pub tool: String,
    /// Fingerprint of the arguments under the key of the log.
    pub arguments_fingerprint: String,
    /// The ground of the permission.
    pub by: ToolPermission,
    /// Time of the event.
    pub at: At,
}

/// A kept call was decided on.
pub struct ToolCallDecided {
    /// The call.
    #[serde(default = "implied::decided_call", skip_serializing_if = "implied::is_decided_call")]
    #[schemars(transform = implied::drawn)]
    pub tool_call_id: ToolCallId,
    /// Approve or reject.
    pub approved: bool,
    /// The executor; without one, the agent may repeat an approved call.
    pub executor: Option<ToolExecutor>,
    /// The reason given with the decision.
    #[serde(default = "implied::spoken", skip_serializing_if = "implied::is_spoken")]
    #[schemars(transform = implied::drawn)]
    pub reason: Option<String>,
    /// Time of the event.
    pub at: At,
}

/// The execution of an approved call begins.
pub struct ToolExecutionStarted {
    /// The call.
    pub tool_call_id: ToolCallId,
    /// Counts the tries of one call, from 1. They all carry the same idempotency key.
    pub try_no: u32,
    /// The worker that does it; the control plane itself when absent.
    pub worker_id: Option<WorkerId>,
    /// The instant at which the try counts as lost.
    pub until: DateTime<Utc>,
    /// Time of the event.
    pub at: At,
}

/// An approved call was executed, or given up.
pub struct ToolExecutionEnded {
    /// The call.
    #[serde(default = "implied::keyed_call", skip_serializing_if = "implied::is_keyed_call")]
    #[schemars(transform = implied::drawn)]
    pub tool_call_id: ToolCallId,
    /// Its outcome.
    pub outcome: ToolOutcome,
    /// The exit code, when there is one.
    pub exit_code: Option<i32>,
    /// Standard output.
    #[serde(default, with = "implied::told", skip_serializing_if = "String::is_empty")]
    #[schemars(with = "String")]
    pub stdout: String,
    /// Standard error.
    #[serde(default, with = "implied::told", skip_serializing_if = "String::is_empty")]
    #[schemars(with = "String")]
    pub stderr: String,
    /// The error, for people.
    #[serde(default, with = "implied::optional_told")]
    #[schemars(with = "Option<String>")]
    pub error: Option<String>,
    /// Time of the event.
    pub at: At,
}
}

choice! {
/// The ground on which a call passes the gate.
pub enum ToolPermission {
    /// The workspace's policy allows it.
    Policy = "policy",
    /// This very call was approved shortly before.
    PreApproval = "pre_approval",
}

/// The executor of an approved call.
pub enum ToolExecutor {
    /// The HTTP endpoint the workspace registered for the tool.
    Http = "http",
    /// A worker that declares the tool.
    Worker = "worker",
}

/// The outcome of an execution.
pub enum ToolOutcome {
    /// The tool call succeeded.
    Ok = "ok",
    /// With an error.
    Error = "error",
    /// Unknown: the tries are used up without a result.
    Unknown = "unknown",
}
}
