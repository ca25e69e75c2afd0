//! The worker protocol: the gate of tool calls, and approved calls a worker carries out.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Attempt, Client, Error};

/// May the agent call this tool?
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ToolQuestion {
    /// The tool.
    pub tool: String,
    /// What it is to be called with.
    #[serde(default)]
    pub arguments: Value,
    /// What it would do, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// More about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
    /// Whether it changes anything; it does unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_write: Option<bool>,
}

/// What the gate decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolDecision {
    /// Call it, now.
    Allow,
    /// Kept back: a person is asked.
    Deferred,
    /// Something is being decided already.
    Pending,
    /// Do not call; so is everything read that this client does not know.
    #[default]
    #[serde(other)]
    Rejected,
}

impl ToolDecision {
    /// True when the outcome will be told later, as an input or by a new run.
    pub fn is_kept(self) -> bool {
        matches!(self, Self::Deferred | Self::Pending)
    }
}

/// The gate's answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GateAnswer {
    /// The decision.
    #[serde(default)]
    pub decision: ToolDecision,
    /// The call that was kept, when it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<Uuid>,
    /// The question people are asked, when they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocker_id: Option<Uuid>,
    /// Why, in words.
    #[serde(default)]
    pub reason: String,
}

/// An approved call this worker is to carry out now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClaimedToolCall {
    /// The right to it, and the address of its result; opaque.
    pub claim: String,
    /// The call: the idempotency key of whatever is done for it, the same for every try.
    pub tool_call_id: Uuid,
    /// The number of this try, from 1.
    pub try_no: u32,
    /// Where the task lives.
    pub workspace: String,
    /// The task.
    pub task_id: Uuid,
    /// The run whose agent wants it.
    pub run_id: Uuid,
    /// The tool.
    pub tool: String,
    /// What it is called with.
    #[serde(default)]
    pub arguments: Value,
    /// When the claim passes, by the server's clock.
    pub until: DateTime<Utc>,
}

/// What came of a call. It failed when there is an error or an exit code other than 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolResult {
    /// The exit code, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// What the tool wrote.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stdout: String,
    /// What it complained about.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stderr: String,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Attempt {
    /// Asks whether the agent may call a tool. Anything but a yes, an error included, means: do not call.
    pub async fn check_tool_call(&self, question: &ToolQuestion, key: &str) -> Result<GateAnswer, Error> {
        self.post(&["tool-calls"]).json(question).header("Idempotency-Key", key).answer().await
    }
}

impl Client {
    /// Takes an approved call of a tool the worker declares; waits up to `wait` for one.
    pub async fn claim_tool_call(
        &self,
        worker: Uuid,
        wait: Duration,
    ) -> Result<Option<ClaimedToolCall>, Error> {
        let body = json!({ "wait_ms": wait.as_millis() as u64 });
        let call = self.call(Method::POST, &["v1", "workers", &worker.to_string(), "tool-calls"]);
        call.json(&body).waiting(wait).answer().await
    }

    /// Reports what came of a call; `worker` is who claimed it. Repeating it is answered like the first time.
    pub async fn report_tool_call(
        &self,
        worker: Uuid,
        claim: &str,
        result: &ToolResult,
    ) -> Result<(), Error> {
        let path = ["v1", "workers", &worker.to_string(), "tool-calls", claim, "result"];
        self.call(Method::POST, &path).json(result).header("Idempotency-Key", "result").done().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_nobody_knows_is_no_permission() {
        let answer: GateAnswer = serde_json::from_str(r#"{"decision":"perhaps","reason":"?"}"#).unwrap();
        assert_eq!(answer.decision, ToolDecision::Rejected);
        let silent: GateAnswer = serde_json::from_str("{}").unwrap();
        assert_eq!(silent.decision, ToolDecision::Rejected);
        let kept: GateAnswer = serde_json::from_str(r#"{"decision":"deferred"}"#).unwrap();
        assert!(kept.decision.is_kept());
    }
}
