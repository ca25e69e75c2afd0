//! An attempt as tests need it.

use capstan_client::LeasedAttempt;
use serde_json::json;
use uuid::Uuid;

/// The first attempt of a task in the workspace `dev`, with a lease of 30 s and without optional fields.
pub(crate) fn leased() -> LeasedAttempt {
    let id = Uuid::nil();
    serde_json::from_value(json!({
        "attempt_id": format!("dev.{id}.1"), "epoch": 1, "lease_ms": 30_000, "workspace": "dev",
        "task_id": id, "run_id": id, "run_no": 1, "attempt_no": 1,
        "agent_id": id, "agent_key": "", "agent_name": "", "agent_config_version": 1, "agent_config": {},
        "prompt": "", "cause": "accepted", "session_id": "", "policy": {}, "timeout_ms": 0,
    }))
    .expect("a leased attempt")
}
