use capstan_domain::Change;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Changes an agent; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UpdateAgent {
    /// Id or key of the agent.
    pub agent_id: String,
    /// Display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Role of the agent; `generalist` when blank.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Scope of the agent's memory; `workspace` when blank.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_scope: Option<String>,
    /// A judgement that surfaces in stats; null takes it away.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub quality_score: Change<f64>,
    /// Limit of what the agent may cost, in US dollars; null lifts it.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub cost_budget_usd: Change<f64>,
    /// Keys of the configuration with their new values; null removes a key, the others stay.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub config: Map<String, Value>,
    /// True if the agent accepts commands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
}
