//! Usage as a worker reports it: the domain's shape, with unknown fields refused (as in
//! [`policy`](super::policy)).

use std::collections::BTreeMap;

use capstan_domain::usage::{ModelUsage, Usage};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// Tokens and cost of one model.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "ModelUsage")]
pub(crate) struct ModelUsageBody {
    /// Tokens read by the model.
    input_tokens: u64,
    /// Tokens written by the model.
    output_tokens: u64,
    /// Tokens written to the prompt cache.
    cache_creation_input_tokens: u64,
    /// Tokens read from the prompt cache.
    cache_read_input_tokens: u64,
    /// Cost in US dollars.
    cost_usd: f64,
}

/// Tokens and cost of a piece of work, in total and by model. Records add up.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Usage")]
pub(crate) struct UsageBody {
    /// Tokens read by models.
    input_tokens: u64,
    /// Tokens written by models.
    output_tokens: u64,
    /// Tokens written to prompt caches.
    cache_creation_input_tokens: u64,
    /// Tokens read from prompt caches.
    cache_read_input_tokens: u64,
    /// All tokens; when zero, the sum of the four counters.
    total_tokens: u64,
    /// Cost in US dollars; when zero, the sum over the models.
    cost_usd: f64,
    /// The same by model name.
    models: BTreeMap<String, ModelUsageBody>,
}

impl From<ModelUsageBody> for ModelUsage {
    fn from(usage: ModelUsageBody) -> Self {
        let ModelUsageBody {
            input_tokens,
            output_tokens,
            cache_creation_input_tokens,
            cache_read_input_tokens,
            cost_usd,
        } = usage;
        Self { input_tokens, output_tokens, cache_creation_input_tokens, cache_read_input_tokens, cost_usd }
    }
}

impl From<UsageBody> for Usage {
    fn from(usage: UsageBody) -> Self {
        let UsageBody {
            input_tokens,
            output_tokens,
            cache_creation_input_tokens,
            cache_read_input_tokens,
            total_tokens,
            cost_usd,
            models,
        } = usage;
        let models = models.into_iter().map(|(name, usage)| (name, usage.into())).collect();
        Self {
            input_tokens,
            output_tokens,
            cache_creation_input_tokens,
            cache_read_input_tokens,
            total_tokens,
            cost_usd,
            models,
        }
    }
}

/// Reads a usage and refuses unknown fields.
pub(crate) fn strictly<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Usage, D::Error> {
    UsageBody::deserialize(deserializer).map(Usage::from)
}

/// Reads an optional usage and refuses unknown fields.
pub(crate) fn optional_strictly<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Usage>, D::Error> {
    Ok(Option::<UsageBody>::deserialize(deserializer)?.map(Usage::from))
}
