//! The worker protocol: the calls of a lease's holder about its attempt.

use capstan_contract::command::{
    AckInput, AppendLogs, AppendOutputRows, AppendRunEvents, BlockerQuestion, ClaimInput, DeferInput,
    FinalizeOutput, ProduceOutput, RecordUsage, ReturnAttempt, StartAttempt,
};
use capstan_contract::lease::ClaimedInput;
use capstan_domain::id::{AttemptId, InputId, OutputId};
use capstan_domain::usage::Usage;
use chrono::{DateTime, Utc};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::client::Call;
use crate::{Client, Error};

/// An attempt and the lease it is held under.
#[derive(Clone, Debug)]
pub struct Attempt {
    client: Client,
    id: AttemptId,
    epoch: u64,
}

/// A question of the agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BlockerReport {
    /// The question, in one line.
    pub summary: String,
    /// Details, free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
    /// The single questions, when there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub questions: Vec<BlockerQuestion>,
    /// Everything else a question may say (`kind`, `items`, `answer_schema`, `deadline` …); the server judges it.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// The end of an attempt.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// `ok`, `error`, `timeout` or `cancelled`.
    pub outcome: String,
    /// The process' exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The error text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// `retryable`, `terminal` or `rate_limited`, when the worker knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_class: Option<String>,
    /// The pause before another attempt, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<i64>,
    /// True when the task waits for an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for_input: Option<bool>,
    /// The planned wake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake: Option<WakePlan>,
    /// Tasks to make of this run, as the server takes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subtasks: Vec<Value>,
    /// The join mode of the subtasks: `none`, `all` or `any`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join: Option<String>,
    /// Things outside to be woken by, as the server takes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source_watches: Vec<Value>,
    /// The agent's answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
}

/// The time and the reason of a wake.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WakePlan {
    /// The delay in minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_minutes: Option<i64>,
    /// At this instant; wins over the delay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime<Utc>>,
    /// The reason, for display.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The prompt of the woken run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow_up_prompt: Option<String>,
    /// The planned items, as the server reads them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agenda: Vec<Value>,
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
    pub async fn open_blocker(&self, blocker: &BlockerReport, key: &str) -> Result<(), Error> {
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
    pub async fn finish(&self, result: &RunResult, key: &str) -> Result<(), Error> {
        self.post(&["finish"]).json(result).header("Idempotency-Key", key).done().await
    }
}
