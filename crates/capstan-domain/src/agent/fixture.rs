//! An agent for specifications.

use chrono::DateTime;
use serde_json::Value;

use crate::Requested;
use crate::agent::{Command, CreateAgent};

pub(crate) fn create(key: &str, name: &str, config: Value) -> Requested<Command> {
    create_with(key, name, config, |_| {})
}

pub(crate) fn create_with(
    key: &str,
    name: &str,
    config: Value,
    change: impl FnOnce(&mut CreateAgent),
) -> Requested<Command> {
    let Value::Object(config) = config else { panic!("a config is an object") };
    let mut agent = Box::new(CreateAgent {
        agent_key: key.into(),
        name: name.into(),
        role: Some("  ".into()),
        config,
        ..CreateAgent::default()
    });
    change(&mut agent);
    Requested::new(Command::Create { workspace: "dev".into(), agent }, DateTime::UNIX_EPOCH)
}
