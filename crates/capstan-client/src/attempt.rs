//! The worker protocol: the calls of a lease's holder about its attempt.

use capstan_contract::command::{
    AckInput, AppendLogs, AppendOutputRows, AppendRunEvents, ClaimInput, DeferInput, FinalizeOutput,
    FinishAttempt, OpenBlocker, ProduceOutput, RecordUsage, ReturnAttempt, StartAttempt,
};
use capstan_contract::lease::ClaimedInput;
use capstan_domain::id::{AttemptId, InputId, OutputId};
use capstan_domain::usage::Usage;
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use crate::client::Call;
use crate::{Client, Error};

/// An attempt and the lease it is held under.
#[derive(Clone, Debug)]
pub struct Attempt {
    client: Client,
    id: AttemptId,
    epoch: u64,
}

impl Client {
    /// The calls about an attempt, under its lease.
    pub fn attempt(&self, id: AttemptId, epoch: u64) -> Attempt {
        Attempt { client: self.clone(), id, epoch }
    }
}

impl Attempt {
    /// The attempt's id.
    pub fn id(&self) -> &AttemptId {
        &self.id
    }

    pub(crate) fn post(&self, path: &[&str]) -> Call {
        let id = self.id.to_string();
        let mut full = vec!["v1", "attempts", &id];
        full.extend_from_slice(path);
        self.client.call(Method::POST, &full).header("Capstan-Lease-Epoch", &self.epoch.to_string())
    }

    /// Starts the attempt; only after success may anything be executed.
    pub async fn start(&self) -> Result<(), Error> {
        self.post(&["start"]).json(&StartAttempt {}).done().await
    }

    /// Appends lines of the agent's output.
    pub async fn append_logs(&self, lines: &AppendLogs) -> Result<(), Error> {
        self.post(&["logs"]).json(lines).done().await
    }

    /// Appends events inside the agent.
    pub async fn append_events(&self, events: &AppendRunEvents) -> Result<(), Error> {
        self.post(&["events"]).json(events).done().await
    }

    /// Reports an output; answers its id. With a name or an id, repeating makes no second one.
    pub async fn produce_output(&self, output: &ProduceOutput, key: &str) -> Result<OutputId, Error> {
        let answer: Value =
            self.post(&["outputs"]).json(output).header("Idempotency-Key", key).answer().await?;
        let id = ["/output_id", "/output/id", "/id"].iter().find_map(|pointer| answer.pointer(pointer));
        OutputId::deserialize(id.unwrap_or(&Value::Null))
            .map_err(|source| Error::Decode { status: 200, source })
    }

    /// Adds rows to an output.
    pub async fn append_rows(&self, rows: &AppendOutputRows, key: &str) -> Result<(), Error> {
        self.post(&["outputs", &rows.output_id.to_string(), "rows"])
            .json(rows)
            .header("Idempotency-Key", key)
            .done()
            .await
    }

    /// Gives an output its final summary.
    pub async fn finalize_output(&self, end: &FinalizeOutput, key: &str) -> Result<(), Error> {
        self.post(&["outputs", &end.output_id.to_string(), "finalize"])
            .json(end)
            .header("Idempotency-Key", key)
            .done()
            .await
    }

    /// Opens a blocker: the task waits.
    pub async fn open_blocker(&self, blocker: &OpenBlocker, key: &str) -> Result<(), Error> {
        self.post(&["blockers"]).json(blocker).header("Idempotency-Key", key).done().await
    }

    /// Claims the oldest unclaimed input.
    pub async fn claim_input(&self) -> Result<Option<ClaimedInput>, Error> {
        let answer: Value = self.post(&["inputs", "claim"]).json(&ClaimInput {}).answer().await?;
        let claimed = answer.get("input").unwrap_or(&answer);
        Option::deserialize(claimed).map_err(|source| Error::Decode { status: 200, source })
    }

    /// Acknowledges that the agent has received the input.
    pub async fn ack_input(&self, input: InputId) -> Result<(), Error> {
        let body = AckInput { input_id: input };
        self.post(&["inputs", &input.to_string(), "ack"]).json(&body).done().await
    }

    /// Defers an input that the agent cannot receive within its turn.
    pub async fn defer_input(&self, input: InputId, reason: &str) -> Result<(), Error> {
        let body = DeferInput { input_id: input, reason: reason.to_owned() };
        self.post(&["inputs", &input.to_string(), "defer"]).json(&body).done().await
    }

    /// Reports what was used since the last report.
    pub async fn record_usage(&self, usage: &Usage, key: &str) -> Result<(), Error> {
        let body = RecordUsage { usage: usage.clone() };
        self.post(&["usage"]).json(&body).header("Idempotency-Key", key).done().await
    }

    /// Returns the unfinished attempt: another worker may try at once.
    pub async fn give_back(&self, reason: &str) -> Result<(), Error> {
        let body = ReturnAttempt { reason: Some(reason.to_owned()) };
        self.post(&["return"]).json(&body).header("Idempotency-Key", "return").done().await
    }

    /// Reports the end; repeating it under the same key is answered like the first time.
    pub async fn finish(&self, end: &FinishAttempt, key: &str) -> Result<(), Error> {
        self.post(&["finish"]).json(end).header("Idempotency-Key", key).done().await
    }
}
