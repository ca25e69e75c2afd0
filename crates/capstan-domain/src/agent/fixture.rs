//! An agent for specifications.

use chrono::DateTime;
use serde_json::Value;

use crate::agent::{Command, Create};
use crate::id::AgentId;

pub(crate) fn create(key: &str, name: &str, config: Value) -> Command {
    let Value::Object(config) = config else { panic!("a config is an object") };
    Command::Create(Create {
        agent_id: AgentId::of_key("dev", key),
        workspace: "dev".into(),
        agent_key: key.into(),
        name: name.into(),
        role: Some("  ".into()),
        memory_scope: None,
        quality_score: None,
        cost_budget_usd: None,
        config,
        active: true,
        at: DateTime::UNIX_EPOCH,
    })
}
