//! The worker protocol: register, lease, renew, drain.

use std::time::Duration;

use capstan_contract::command::{DrainWorker, LeaseAttempts, RegisterWorker, RenewLeases, Renewal};
use capstan_contract::lease::{LeasedAttempt, RegisteredWorker, RenewAnswer};
use capstan_domain::id::WorkerId;
use reqwest::Method;
use serde::Deserialize;

use crate::client::millis;
use crate::{Client, Error};

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
    /// Registers this process as a worker.
    pub async fn register_worker(&self, worker: &RegisterWorker) -> Result<RegisteredWorker, Error> {
        self.call(Method::POST, &["v1", "workers"]).json(worker).answer().await
    }

    /// Asks for up to `max` attempts; waits up to `wait` for the first one.
    pub async fn lease(
        &self,
        worker: WorkerId,
        max: u32,
        wait: Duration,
    ) -> Result<Vec<LeasedAttempt>, Error> {
        let body = LeaseAttempts { worker_id: worker, max, wait_ms: millis(wait) };
        let call = self.call(Method::POST, &["v1", "workers", &worker.to_string(), "lease"]);
        Ok(call.json(&body).waiting(wait).answer::<Listed<_>>().await?.into_vec())
    }

    /// Renews leases; the leases are renewed when the call arrives, and the answer waits up to `wait` for a hint
    /// that needs action.
    pub async fn renew(
        &self,
        worker: WorkerId,
        renewals: Vec<Renewal>,
        wait: Duration,
    ) -> Result<Vec<RenewAnswer>, Error> {
        let body = RenewLeases { worker_id: worker, renewals, wait_ms: millis(wait) };
        let call = self.call(Method::POST, &["v1", "workers", &worker.to_string(), "renew"]);
        Ok(call.json(&body).waiting(wait).answer::<Listed<_>>().await?.into_vec())
    }

    /// Ends the leasing of new attempts to this worker.
    pub async fn drain_worker(&self, worker: WorkerId) -> Result<(), Error> {
        self.call(Method::POST, &["v1", "workers", &worker.to_string(), "drain"])
            .json(&DrainWorker { worker_id: worker })
            .done()
            .await
    }
}

#[cfg(test)]
mod tests {
    use capstan_contract::lease::RenewStatus;
    use serde_json::json;

    use super::*;

    const TASK: &str = "00000000-0000-0000-0000-000000000001";

    #[test]
    fn a_leased_attempt_is_read_with_fields_missing_and_fields_unknown() {
        let attempt = json!({
            "attempt_id": format!("dev.{TASK}.1"), "epoch": 1, "lease_ms": 30000, "workspace": "dev", "task_id": TASK,
            "run_id": TASK, "run_no": 1, "attempt_no": 1, "agent_id": TASK, "agent_key": "a", "agent_name": "A",
            "agent_config": {}, "prompt": "hi", "cause": "accepted", "session_id": "s",
            "policy": {"new_field": 1}, "timeout_ms": 0, "new_field": [1],
        });
        let text = json!([attempt]).to_string();
        let attempts = serde_json::from_str::<Listed<LeasedAttempt>>(&text).unwrap().into_vec();
        assert_eq!((attempts[0].epoch, attempts[0].prompt.as_str()), (1, "hi"));
    }

    #[test]
    fn a_renew_answer_without_hints_has_none() {
        let attempt_id = format!("dev.{TASK}.1");
        let answer =
            json!({ "attempt_id": attempt_id, "status": "cancel", "reason": "enough", "new_field": 1 });
        let text = json!({ "items": [answer] }).to_string();
        let answers = serde_json::from_str::<Listed<RenewAnswer>>(&text).unwrap().into_vec();
        assert_eq!((answers[0].status, answers[0].inputs_pending), (RenewStatus::Cancel, 0));
    }
}
