//! Counts the usage of a conversation once.
//!
//! A turn's result states the process' totals so far, by model and in money, while every message states its own tokens,
//! and repeats them for each of its parts. So results are counted by their difference to the one before, and messages
//! only where no result followed: an agent that was killed in its turn.

use std::collections::BTreeMap;

use capstan_client::{ModelUsage, Usage};
use serde::Deserialize;

/// Tokens as a message or a turn's result states them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Tokens {
    #[serde(rename = "input_tokens")]
    input: Option<u64>,
    #[serde(rename = "output_tokens")]
    output: Option<u64>,
    #[serde(rename = "cache_creation_input_tokens")]
    cache_creation: Option<u64>,
    #[serde(rename = "cache_read_input_tokens")]
    cache_read: Option<u64>,
}

/// Totals of one model as a result states them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ModelTotals {
    input_tokens: u64,
    output_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    #[serde(rename = "costUSD")]
    cost_usd: f64,
}

impl ModelTotals {
    /// The usage since `before`. Lower totals mean that the count restarted.
    fn since(self, before: Self) -> Self {
        let is_begun_anew = self.input_tokens < before.input_tokens
            || self.output_tokens < before.output_tokens
            || self.cost_usd < before.cost_usd;
        let before = if is_begun_anew { Self::default() } else { before };
        let cache_creation = self.cache_creation_input_tokens;
        Self {
            input_tokens: self.input_tokens - before.input_tokens,
            output_tokens: self.output_tokens - before.output_tokens,
            cache_creation_input_tokens: cache_creation.saturating_sub(before.cache_creation_input_tokens),
            cache_read_input_tokens: self
                .cache_read_input_tokens
                .saturating_sub(before.cache_read_input_tokens),
            cost_usd: self.cost_usd - before.cost_usd,
        }
    }
}

/// The totals of a result.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Totals {
    usage: Option<Tokens>,
    total_cost_usd: Option<f64>,
    #[serde(rename = "modelUsage")]
    models: Option<BTreeMap<String, ModelTotals>>,
}

/// Counts usage by message and by result.
#[derive(Debug, Default)]
pub(super) struct Meter {
    models: BTreeMap<String, ModelTotals>,
    cost_usd: f64,
    /// By message, since the last result.
    messages: BTreeMap<String, (Option<String>, Tokens)>,
}

impl Meter {
    /// Adds a message or a further part of it: the last statement counts.
    pub(super) fn message(&mut self, id: &str, model: Option<&str>, tokens: Tokens) {
        self.messages.insert(id.to_owned(), (model.map(str::to_owned), tokens));
    }

    /// Ends a turn; returns its usage, if stated.
    pub(super) fn result(&mut self, totals: &Totals) -> Option<Usage> {
        let cost =
            totals.total_cost_usd.filter(|cost| cost.is_finite() && *cost >= 0.0).unwrap_or(self.cost_usd);
        let added = if cost < self.cost_usd { cost } else { cost - self.cost_usd };
        let mut usage = match &totals.models {
            Some(models) if !models.is_empty() => self.models_since(models),
            _ => match totals.usage {
                Some(tokens) => {
                    let mut usage = Usage::default();
                    usage.count(None, &counted(tokens));
                    usage
                }
                None => self.unreported().unwrap_or_default(),
            },
        };
        usage.cost_usd = added;
        self.cost_usd = cost;
        self.messages.clear();
        (usage != Usage::default()).then_some(usage)
    }

    fn models_since(&mut self, models: &BTreeMap<String, ModelTotals>) -> Usage {
        let mut usage = Usage::default();
        for (name, totals) in models {
            let added = totals.since(self.models.get(name).copied().unwrap_or_default());
            self.models.insert(name.clone(), *totals);
            if added != ModelTotals::default() {
                usage.count(Some(name), &added.into());
            }
        }
        usage
    }

    /// The usage of messages not yet counted by a result.
    pub(super) fn unreported(&self) -> Option<Usage> {
        let mut sum = Usage::default();
        for (model, tokens) in self.messages.values() {
            sum.count(model.as_deref(), &counted(*tokens));
        }
        (sum != Usage::default()).then_some(sum)
    }
}

fn counted(tokens: Tokens) -> ModelUsage {
    ModelUsage {
        input_tokens: tokens.input.unwrap_or_default(),
        output_tokens: tokens.output.unwrap_or_default(),
        cache_creation_input_tokens: tokens.cache_creation.unwrap_or_default(),
        cache_read_input_tokens: tokens.cache_read.unwrap_or_default(),
        cost_usd: 0.0,
    }
}

impl From<ModelTotals> for ModelUsage {
    fn from(totals: ModelTotals) -> Self {
        Self {
            input_tokens: totals.input_tokens,
            output_tokens: totals.output_tokens,
            cache_creation_input_tokens: totals.cache_creation_input_tokens,
            cache_read_input_tokens: totals.cache_read_input_tokens,
            cost_usd: totals.cost_usd,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn totals(value: Value) -> Totals {
        serde_json::from_value(value).unwrap()
    }

    fn tokens(value: Value) -> Tokens {
        serde_json::from_value(value).unwrap()
    }

    fn model(input: u64, output: u64, cost: f64) -> Value {
        json!({"inputTokens": input, "outputTokens": output, "cacheReadInputTokens": 100, "costUSD": cost,
               "contextWindow": 200_000, "webSearchRequests": 0})
    }

    #[test]
    fn a_second_result_adds_only_what_it_adds() {
        let mut meter = Meter::default();
        let first = meter
            .result(&totals(json!({"total_cost_usd": 0.25, "usage": {"input_tokens": 7},
                                   "modelUsage": {"m": model(10, 20, 0.25)}})))
            .unwrap();
        assert_eq!((first.input_tokens, first.output_tokens, first.cost_usd), (10, 20, 0.25));
        assert_eq!(first.models["m"].cache_read_input_tokens, 100);
        let second = meter
            .result(&totals(json!({"total_cost_usd": 0.75,
                                   "modelUsage": {"m": model(15, 20, 0.25), "n": model(1, 1, 0.5)}})))
            .unwrap();
        assert_eq!((second.input_tokens, second.output_tokens, second.cost_usd), (6, 1, 0.5));
        assert_eq!((second.cache_read_input_tokens, second.models["m"].input_tokens), (100, 5));
        let same = totals(json!({"total_cost_usd": 0.75,
                                 "modelUsage": {"m": model(15, 20, 0.25), "n": model(1, 1, 0.5)}}));
        assert_eq!(meter.result(&same), None);
    }

    #[test]
    fn totals_that_fell_were_begun_anew() {
        let mut meter = Meter::default();
        meter.result(&totals(json!({"total_cost_usd": 1.0, "modelUsage": {"m": model(10, 20, 1.0)}})));
        let next = totals(json!({"total_cost_usd": 0.5, "modelUsage": {"m": model(4, 5, 0.5)}}));
        let next = meter.result(&next).unwrap();
        assert_eq!((next.input_tokens, next.output_tokens, next.cost_usd), (4, 5, 0.5));
    }

    #[test]
    fn parts_of_one_message_count_once_and_not_at_all_when_a_result_follows() {
        let mut meter = Meter::default();
        meter.message("m1", Some("a"), tokens(json!({"input_tokens": 3, "output_tokens": 1})));
        meter.message(
            "m1",
            Some("a"),
            tokens(json!({"input_tokens": 3, "output_tokens": 9, "service_tier": "x"})),
        );
        meter.message("m2", Some("a"), tokens(json!({"input_tokens": 5, "cache_read_input_tokens": null})));
        let used = meter.unreported().unwrap();
        assert_eq!((used.input_tokens, used.output_tokens), (8, 9));
        assert_eq!(used.models["a"].input_tokens, 8);
        let turn = totals(json!({"usage": {"input_tokens": 8, "output_tokens": 9}, "total_cost_usd": 0.5}));
        let turn = meter.result(&turn).unwrap();
        assert_eq!((turn.input_tokens, turn.output_tokens, turn.cost_usd), (8, 9, 0.5));
        assert_eq!(meter.unreported(), None);
    }

    #[test]
    fn a_result_that_states_no_tokens_is_counted_by_its_messages() {
        let mut meter = Meter::default();
        meter.message("m1", None, tokens(json!({"input_tokens": 3})));
        assert_eq!(meter.result(&Totals::default()).map(|usage| usage.input_tokens), Some(3));
        assert_eq!(meter.result(&Totals::default()), None);
    }
}
