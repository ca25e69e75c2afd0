//! The worker protocol: register, lease, renew, drain.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{Client, Error};

/// Who a worker is and what it can do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerRegistration {
    /// A name for people.
    pub name: String,
    /// The pools it serves.
    pub pools: Vec<String>,
    /// How many attempts it runs at once.
    pub slots: u32,
    /// Names and values about it.
    pub labels: BTreeMap<String, String>,
    /// What it offers to runs.
    pub capabilities: Capabilities,
}

/// What a worker offers to runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Isolations it can give, for example `gvisor`, `runc`.
    pub runtimes: Vec<String>,
    /// True when it can keep a run off the network.
    pub network_isolation: bool,
    /// Accesses to files it can give: `none`, `ro`, `rw`.
    pub workspace_access: Vec<String>,
    /// Tools it can execute.
    pub tools: Vec<String>,
}

/// The answer to a registration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// The worker's id from now on.
    #[serde(alias = "id")]
    pub worker_id: Uuid,
    /// How long a lease lasts without renewal, in milliseconds.
    #[serde(default = "default_lease_ms")]
    pub lease_ms: u64,
}

fn default_lease_ms() -> u64 {
    30_000
}

/// An attempt this worker now holds, with everything needed to execute it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LeasedAttempt {
    /// The attempt; opaque.
    pub attempt_id: String,
    /// The fence: goes with every call about the attempt.
    pub epoch: u64,
    /// How long the lease lasts without renewal, in milliseconds.
    pub lease_ms: u64,
    /// Where the task lives.
    pub workspace: String,
    /// The task.
    pub task_id: Uuid,
    /// The run.
    pub run_id: Uuid,
    /// The run's number in its task, from 1.
    pub run_no: u32,
    /// The attempt's number in its run, from 1.
    pub attempt_no: u32,
    /// Who does it.
    pub agent_id: Uuid,
    /// The agent's key.
    pub agent_key: String,
    /// The agent's name.
    pub agent_name: String,
    /// The agent's configuration, frozen at acceptance.
    pub agent_config: Map<String, Value>,
    /// The model's provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What the agent is told.
    pub prompt: String,
    /// Why the run was asked for: `accepted`, `input`, `wake`, `retry`.
    pub cause: String,
    /// The conversation.
    pub session_id: String,
    /// A caller's name for the conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_key: Option<String>,
    /// The run this one goes on from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resumed_from_run_id: Option<Uuid>,
    /// Rules of execution.
    pub policy: Value,
    /// Longest time the attempt may run, in milliseconds; 0 = none.
    pub timeout_ms: i64,
    /// Text to add to the system prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra_system_prompt: Option<String>,
    /// Objects handed to the agent.
    pub attachments: Vec<Value>,
    /// Skills the agent is to use, as paths.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skill_paths: Vec<String>,
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Where the command came from.
    pub input_provenance: Value,
    /// Reply addressing.
    pub routing: Value,
    /// When the task must be over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<chrono::DateTime<chrono::Utc>>,
}

/// One lease to renew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewal {
    /// The attempt.
    pub attempt_id: String,
    /// Its fence.
    pub epoch: u64,
}

/// Where a lease stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseStatus {
    /// Renewed.
    Ok,
    /// Renewed, and the attempt is to stop.
    Cancel,
    /// The lease is another's or nobody's: stop at once and report nothing.
    Lost,
}

/// The answer to one renewal, with hints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewAnswer {
    /// The attempt.
    pub attempt_id: String,
    /// Where its lease stands.
    pub status: LeaseStatus,
    /// Why it is to stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Inputs nobody has claimed yet.
    #[serde(default)]
    pub inputs_pending: u32,
    /// True while the task waits for an answer.
    #[serde(default)]
    pub waiting: bool,
    /// True when an input is to reach the running turn.
    #[serde(default)]
    pub steer: bool,
}

/// The shapes a worker's lists may have.
#[derive(Deserialize)]
#[serde(untagged)]
enum Listed<T> {
    Bare(Vec<T>),
    Attempts { attempts: Vec<T> },
    Items { items: Vec<T> },
}

impl<T> Listed<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::Bare(items) | Self::Attempts { attempts: items } | Self::Items { items } => items,
        }
    }
}

impl Client {
    /// Makes this process known as a worker.
    pub async fn register_worker(&self, registration: &WorkerRegistration) -> Result<Registered, Error> {
        self.call(Method::POST, &["v1", "workers"]).json(registration).answer().await
    }

    /// Asks for up to `max` attempts; waits up to `wait` for the first one.
    pub async fn lease(&self, worker: Uuid, max: u32, wait: Duration) -> Result<Vec<LeasedAttempt>, Error> {
        let body = json!({ "max": max, "wait_ms": wait.as_millis() as u64 });
        let call = self.call(Method::POST, &["v1", "workers", &worker.to_string(), "lease"]);
        Ok(call.json(&body).waiting(wait).answer::<Listed<_>>().await?.into_vec())
    }

    /// Renews leases; the leases are renewed when the call arrives, and the answer waits up to `wait` for a hint
    /// that needs action.
    pub async fn renew(
        &self,
        worker: Uuid,
        leases: &[Renewal],
        wait: Duration,
    ) -> Result<Vec<RenewAnswer>, Error> {
        let call = self.call(Method::POST, &["v1", "workers", &worker.to_string(), "renew"]);
        let body = json!({ "renewals": leases, "wait_ms": wait.as_millis() as u64 });
        let call = call.json(&body).waiting(wait);
        Ok(call.answer::<Listed<_>>().await?.into_vec())
    }

    /// Says that this worker takes no new attempts.
    pub async fn drain_worker(&self, worker: Uuid) -> Result<(), Error> {
        self.call(Method::POST, &["v1", "workers", &worker.to_string(), "drain"])
            .json(&json!({}))
            .done()
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leased_attempt_is_read_with_fields_missing_and_fields_unknown() {
        let text = r#"[{"attempt_id":"dev.x.1","epoch":1,"lease_ms":30000,"prompt":"hi","new_field":[1]}]"#;
        let attempts = serde_json::from_str::<Listed<LeasedAttempt>>(text).unwrap().into_vec();
        assert_eq!((attempts[0].epoch, attempts[0].prompt.as_str()), (1, "hi"));
    }

    #[test]
    fn a_renew_answer_without_hints_has_none() {
        let text = r#"{"items":[{"attempt_id":"a","status":"cancel","reason":"enough"}]}"#;
        let answers = serde_json::from_str::<Listed<RenewAnswer>>(text).unwrap().into_vec();
        assert_eq!((answers[0].status, answers[0].inputs_pending), (LeaseStatus::Cancel, 0));
    }
}
