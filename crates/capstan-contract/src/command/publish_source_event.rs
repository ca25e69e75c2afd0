use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Something happened outside: tasks of the workspace that watch for it are told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PublishSourceEvent {
    /// Integration the event comes from.
    pub integration: String,
    /// What it is about: threads, messages, things, queries.
    pub correlation_keys: Vec<String>,
    /// What is new. The same items, in whichever order, are the same event.
    pub items: Vec<Value>,
    /// What kind of event it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
}
