//! What a run used.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Tokens and cost, in total and by model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Tokens read by models.
    pub input_tokens: u64,
    /// Tokens written by models.
    pub output_tokens: u64,
    /// Tokens written to prompt caches.
    pub cache_creation_input_tokens: u64,
    /// Tokens read from prompt caches.
    pub cache_read_input_tokens: u64,
    /// All tokens; when zero, the server sums the counters.
    pub total_tokens: u64,
    /// Cost in US dollars.
    pub cost_usd: f64,
    /// The same by model name.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub models: Map<String, Value>,
}
