//! The worker protocol: the gate of tool calls, and approved calls that a worker executes.

use std::time::Duration;

use capstan_contract::command::{CheckToolCall, ClaimToolCall, ReportToolCall};
use capstan_contract::lease::ClaimedToolCall;
use capstan_domain::id::WorkerId;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::client::millis;
use crate::{Attempt, Client, Error};

/// A decision of the gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolDecision {
    /// Call it, now.
    Allow,
    /// Kept back: a person is asked.
    Deferred,
    /// Not now: another decision of the task is open.
    Pending,
    /// Do not call; so is everything read that this client does not know.
    #[default]
    #[serde(other)]
    Rejected,
}

impl ToolDecision {
    /// True when the outcome arrives later, as an input or by a new run.
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
    /// The reason, for display.
    #[serde(default)]
    pub reason: String,
}

impl Attempt {
    /// Asks whether the agent may call a tool. Anything but a yes, an error included, means: do not call.
    pub async fn check_tool_call(&self, question: &CheckToolCall, key: &str) -> Result<GateAnswer, Error> {
        self.post(&["tool-calls"]).json(question).header("Idempotency-Key", key).answer().await
    }
}

impl Client {
    /// Claims an approved call of a tool that the worker declares; waits up to `wait` for one.
    pub async fn claim_tool_call(
        &self,
        worker: WorkerId,
        wait: Duration,
    ) -> Result<Option<ClaimedToolCall>, Error> {
        let body = ClaimToolCall { worker_id: worker, wait_ms: millis(wait) };
        let call = self.call(Method::POST, &["v1", "workers", &worker.to_string(), "tool-calls"]);
        call.json(&body).waiting(wait).answer().await
    }

    /// Reports what came of a call; `worker` is who claimed it. Repeating it is answered like the first time.
    pub async fn report_tool_call(
        &self,
        worker: WorkerId,
        claim: &str,
        result: &ReportToolCall,
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
