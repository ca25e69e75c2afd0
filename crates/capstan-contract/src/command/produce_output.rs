use capstan_domain::id::OutputId;
use capstan_domain::task::event::OutputStatus;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The agent produced something. The same id or name inside a task is the same output.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProduceOutput {
    /// Its id, when the producer chose one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<OutputId>,
    /// The producer's name for it; its id derives from this when no id is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is, free.
    #[serde(default)]
    #[schemars(!default)]
    pub output_type: String,
    /// A name for people.
    #[serde(default)]
    #[schemars(!default)]
    pub title: String,
    /// What it says, in short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// Where it lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// The thing itself.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub data: Map<String, Value>,
    /// More about it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// `active` when absent, or `pending` when it waits for a decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<OutputStatus>,
}
