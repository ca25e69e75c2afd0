use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Something happened outside: tasks of the workspace that watch for it are told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PublishSourceEvent {
    /// Integration the event comes from.
    pub integration: String,
    /// Keys of the threads, messages, entities and queries the event concerns.
    pub correlation_keys: Vec<String>,
    /// New items. The same items, in any order, are the same event.
    pub items: Vec<Value>,
    /// Type of the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
}
