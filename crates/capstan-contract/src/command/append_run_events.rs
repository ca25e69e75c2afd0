use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a running agent tells about its doings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct AppendRunEvents(pub Vec<RunEvent>);

/// One thing told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunEvent {
    /// What kind of thing, free.
    pub event_type: String,
    /// The thing.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub payload: Value,
    /// When; the time of arrival when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ts: Option<DateTime<Utc>>,
}
