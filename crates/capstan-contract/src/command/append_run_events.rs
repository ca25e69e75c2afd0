use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Appends events of a run, as its agent reports them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AppendRunEvents {
    /// The events, in order.
    pub events: Vec<RunEvent>,
}

/// One reported event.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunEvent {
    /// Kind of event; free text that is not blank.
    #[schemars(length(min = 1))]
    pub event_type: String,
    /// Payload of the event, any JSON value.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub payload: Value,
    /// Time it occurred; the time of arrival when absent.
    pub ts: Option<DateTime<Utc>>,
}
