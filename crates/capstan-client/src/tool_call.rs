//! The worker protocol: the gate of tool calls, and approved calls that a worker executes.

use std::time::Duration;

use capstan_contract::command::{CheckToolCall, ClaimToolCall, ReportToolCall};
use capstan_contract::lease::{ClaimedToolCall, ToolDecision};
use capstan_domain::id::WorkerId;
use reqwest::Method;

use crate::client::millis;
use crate::{Attempt, Client, Error};

impl Attempt {
    /// Asks whether the agent may call a tool. Anything but a yes, an error included, means: do not call.
    pub async fn check_tool_call(&self, question: &CheckToolCall, key: &str) -> Result<ToolDecision, Error> {
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
