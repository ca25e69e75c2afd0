use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Something happened outside: tasks of the workspace that watch for it are told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PublishSourceEvent {
    /// Repeats under the same key are answered with the first outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// Where it happened.
    #[serde(default)]
    #[schemars(!default)]
    pub integration: String,
    /// What it is about: threads, messages, things, queries.
    #[serde(default)]
    #[schemars(!default)]
    pub correlation_keys: Vec<String>,
    /// What is new. The same items, in whichever order, are the same event.
    #[serde(default)]
    #[schemars(!default)]
    pub items: Vec<Value>,
    /// What kind of event it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
}
