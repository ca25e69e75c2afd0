//! What a run used: tokens and money.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Tokens and cost of one model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ModelUsage {
    /// Tokens read by the model.
    pub input_tokens: u64,
    /// Tokens written by the model.
    pub output_tokens: u64,
    /// Tokens written to the prompt cache.
    pub cache_creation_input_tokens: u64,
    /// Tokens read from the prompt cache.
    pub cache_read_input_tokens: u64,
    /// Cost in US dollars.
    pub cost_usd: f64,
}

/// Tokens and cost of a piece of work, in total and by model. Records add up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// All tokens; when zero, the sum of the four counters.
    pub total_tokens: u64,
    /// Cost in US dollars; when zero, the sum over the models.
    pub cost_usd: f64,
    /// The same by model name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<String, ModelUsage>,
}

impl Usage {
    /// Fills counters the reporter left out: scalars from the models, the total from the scalars
    /// (reference/behaviour 1.4.1).
    #[must_use]
    pub fn normalised(mut self) -> Self {
        let counters = |u: &Self| {
            u.input_tokens
                .saturating_add(u.output_tokens)
                .saturating_add(u.cache_creation_input_tokens)
                .saturating_add(u.cache_read_input_tokens)
        };
        if counters(&self) == 0 {
            for model in self.models.values() {
                self.input_tokens = self.input_tokens.saturating_add(model.input_tokens);
                self.output_tokens = self.output_tokens.saturating_add(model.output_tokens);
                self.cache_creation_input_tokens =
                    self.cache_creation_input_tokens.saturating_add(model.cache_creation_input_tokens);
                self.cache_read_input_tokens =
                    self.cache_read_input_tokens.saturating_add(model.cache_read_input_tokens);
            }
        }
        if self.total_tokens == 0 {
            self.total_tokens = counters(&self);
        }
        if self.cost_usd <= 0.0 {
            self.cost_usd = self.models.values().map(|model| model.cost_usd).sum();
        }
        self
    }

    /// Adds another record.
    pub fn add(&mut self, other: &Self) {
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.cache_creation_input_tokens =
            self.cache_creation_input_tokens.saturating_add(other.cache_creation_input_tokens);
        self.cache_read_input_tokens =
            self.cache_read_input_tokens.saturating_add(other.cache_read_input_tokens);
        self.total_tokens = self.total_tokens.saturating_add(other.total_tokens);
        self.cost_usd += other.cost_usd;
        for (name, model) in &other.models {
            let sum = self.models.entry(name.clone()).or_default();
            sum.input_tokens = sum.input_tokens.saturating_add(model.input_tokens);
            sum.output_tokens = sum.output_tokens.saturating_add(model.output_tokens);
            sum.cache_creation_input_tokens =
                sum.cache_creation_input_tokens.saturating_add(model.cache_creation_input_tokens);
            sum.cache_read_input_tokens =
                sum.cache_read_input_tokens.saturating_add(model.cache_read_input_tokens);
            sum.cost_usd += model.cost_usd;
        }
    }

    /// True when nothing was used.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// True when the cost is a number one can add: finite and not negative.
    pub fn is_valid(&self) -> bool {
        let valid = |cost: f64| cost.is_finite() && cost >= 0.0;
        valid(self.cost_usd) && self.models.values().all(|model| valid(model.cost_usd))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(input_tokens: u64, cost_usd: f64) -> ModelUsage {
        ModelUsage { input_tokens, cost_usd, ..ModelUsage::default() }
    }

    #[test]
    fn what_a_reporter_left_out_is_summed_from_the_models() {
        let models = BTreeMap::from([("a".to_owned(), model(2, 0.5)), ("b".to_owned(), model(3, 0.25))]);
        let usage = Usage { models, ..Usage::default() }.normalised();
        assert_eq!((usage.input_tokens, usage.total_tokens, usage.cost_usd), (5, 5, 0.75));
    }

    #[test]
    fn stated_figures_are_kept() {
        let models = BTreeMap::from([("a".to_owned(), model(2, 0.5))]);
        let stated = Usage { input_tokens: 9, total_tokens: 10, cost_usd: 1.0, models, ..Usage::default() };
        assert_eq!(stated.clone().normalised(), stated);
    }

    #[test]
    fn records_add_up_by_model_and_saturate() {
        let mut sum = Usage {
            input_tokens: u64::MAX,
            models: BTreeMap::from([("a".to_owned(), model(1, 1.0))]),
            ..Usage::default()
        };
        sum.add(&Usage {
            input_tokens: 1,
            models: BTreeMap::from([("a".to_owned(), model(2, 0.5))]),
            ..Usage::default()
        });
        assert_eq!((sum.input_tokens, &sum.models["a"]), (u64::MAX, &model(3, 1.5)));
    }

    #[test]
    fn a_cost_that_cannot_be_added_is_not_valid() {
        assert!(Usage::default().is_valid() && Usage::default().is_empty());
        assert!(
            !Usage { models: BTreeMap::from([("a".to_owned(), model(0, -0.1))]), ..Usage::default() }
                .is_valid()
        );
    }
}
