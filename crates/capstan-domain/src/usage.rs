//! Usage of a run: tokens and cost.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fault::below;
use crate::finite::{self, AMOUNT_MAX};
use crate::stored::json_bytes;
use crate::{Fault, Faults, implied};

/// The most one report may cost, in total and by model, in US dollars.
pub const COST_USD_MAX: f64 = 1e9;

/// The most tokens one report may count, in each of its counters.
pub const TOKENS_MAX: u64 = 1_000_000_000_000_000;

/// Most models a report or a sum tells apart: sums are written again with each report.
pub const MODELS_MAX: usize = 64;

/// The longest name of a model, in bytes of JSON between the quotes.
pub const MODEL_NAME_BYTES_MAX: usize = 256;

/// The name under which a sum has the models it does not tell apart.
const OTHER_MODELS: &str = "(other)";

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
    #[serde(serialize_with = "finite::serialize")]
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
    #[serde(serialize_with = "finite::serialize")]
    pub cost_usd: f64,
    /// The same by model name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<String, ModelUsage>,
}

/// The stored form: what follows is left out. A counter and the cost are the sum over the models, the total is that of the four
/// counters, and what a model lacks is zero. How they are added up is part of the format.
pub(crate) mod stored {
    use std::collections::BTreeMap;

    use serde::ser::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_json::{Map, Value};

    use super::{ModelUsage, Usage, implied};

    pub(crate) fn serialize<S: Serializer>(usage: &Usage, serializer: S) -> Result<S::Ok, S::Error> {
        if !implied::is_stored() {
            return usage.serialize(serializer);
        }
        let mut whole = serde_json::to_value(usage).map_err(S::Error::custom)?;
        let follows = serde_json::to_value(following(usage)).map_err(S::Error::custom)?;
        if let Value::Object(fields) = &mut whole {
            fields.retain(|name, value| name == "models" || follows.get(name) != Some(value));
        }
        let models = whole.get_mut("models").and_then(Value::as_object_mut);
        models.into_iter().flat_map(Map::values_mut).for_each(leave_out_zeros);
        whole.serialize(serializer)
    }

    /// The sums, each over what the usage says itself.
    fn following(usage: &Usage) -> Usage {
        let sum = Usage::of_models(&usage.models);
        Usage { total_tokens: usage.total().tokens(), ..sum }
    }

    fn leave_out_zeros(counters: &mut Value) {
        if let Value::Object(counters) = counters {
            counters.retain(|_, counter| counter.as_f64() != Some(0.0));
        }
    }

    #[derive(Deserialize)]
    #[serde(default)]
    #[derive(Default)]
    struct Stored {
        input_tokens: Option<u64>,
        output_tokens: Option<u64>,
        cache_creation_input_tokens: Option<u64>,
        cache_read_input_tokens: Option<u64>,
        total_tokens: Option<u64>,
        cost_usd: Option<f64>,
        models: BTreeMap<String, ModelUsage>,
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Usage, D::Error> {
        if !implied::is_stored() {
            return Usage::deserialize(deserializer);
        }
        let stored = Stored::deserialize(deserializer)?;
        let sum = Usage::of_models(&stored.models);
        let usage = Usage {
            input_tokens: stored.input_tokens.unwrap_or(sum.input_tokens),
            output_tokens: stored.output_tokens.unwrap_or(sum.output_tokens),
            cache_creation_input_tokens: stored
                .cache_creation_input_tokens
                .unwrap_or(sum.cache_creation_input_tokens),
            cache_read_input_tokens: stored.cache_read_input_tokens.unwrap_or(sum.cache_read_input_tokens),
            total_tokens: 0,
            cost_usd: stored.cost_usd.unwrap_or(sum.cost_usd),
            models: stored.models,
        };
        let total_tokens = stored.total_tokens.unwrap_or_else(|| usage.total().tokens());
        Ok(Usage { total_tokens, ..usage })
    }
}

impl Usage {
    /// Fills counters the reporter left out: scalars from the models, the total from the scalars.
    #[must_use]
    pub fn normalised(mut self) -> Self {
        if self.total().tokens() == 0 {
            let mut sum = ModelUsage::default();
            self.models.values().for_each(|model| sum.add(model));
            self.set_total(&ModelUsage { cost_usd: self.cost_usd, ..sum });
        }
        if self.total_tokens == 0 {
            self.total_tokens = self.total().tokens();
        }
        // A negative cost is not one that was left out: it stays, to be refused.
        if self.cost_usd == 0.0 {
            self.cost_usd = self.models.values().fold(0.0, |sum, model| sum + model.cost_usd);
        }
        self
    }

    /// A worker's report as it is recorded: checked as it was given, then filled in, and the sums are checked.
    pub fn reported(self) -> Result<Self, Vec<Fault>> {
        let mut faults = Faults::default();
        let is_long = self.models.keys().any(|name| json_bytes(name) > MODEL_NAME_BYTES_MAX + 2);
        faults.require(
            self.models.len() <= MODELS_MAX && !is_long,
            "/usage/models",
            format_args!("at most {MODELS_MAX} models with names of at most {MODEL_NAME_BYTES_MAX} bytes"),
        );
        faults.into_result()?;
        let mut faults = Faults::default();
        for (name, model) in &self.models {
            model.check(&below("/usage/models", name), &mut faults);
        }
        check_tokens("/usage/total_tokens", self.total_tokens, &mut faults);
        self.total().check("/usage", &mut faults);
        faults.into_result()?;
        let usage = self.normalised();
        let mut sums = Faults::default();
        let counters = [
            usage.total_tokens,
            usage.input_tokens,
            usage.output_tokens,
            usage.cache_creation_input_tokens,
            usage.cache_read_input_tokens,
        ];
        sums.require(
            counters.iter().all(|tokens| *tokens <= TOKENS_MAX),
            "/usage",
            format_args!("the tokens must add up to at most {TOKENS_MAX}"),
        );
        sums.require(
            usage.cost_usd <= COST_USD_MAX,
            "/usage",
            format_args!("the costs must add up to at most {COST_USD_MAX} US dollars"),
        );
        sums.into_result()?;
        Ok(usage)
    }

    /// The sum over the models, without a total.
    fn of_models(models: &BTreeMap<String, ModelUsage>) -> Self {
        let mut sum = ModelUsage::default();
        for model in models.values() {
            sum.add(model);
        }
        let mut usage = Self::default();
        usage.set_total(&sum);
        usage
    }

    /// The record without its models.
    fn total(&self) -> ModelUsage {
        ModelUsage {
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            cache_creation_input_tokens: self.cache_creation_input_tokens,
            cache_read_input_tokens: self.cache_read_input_tokens,
            cost_usd: self.cost_usd,
        }
    }

    fn set_total(&mut self, total: &ModelUsage) {
        self.input_tokens = total.input_tokens;
        self.output_tokens = total.output_tokens;
        self.cache_creation_input_tokens = total.cache_creation_input_tokens;
        self.cache_read_input_tokens = total.cache_read_input_tokens;
        self.cost_usd = total.cost_usd;
    }

    /// Adds another record, with its models. Sums stop at their limits.
    pub fn add(&mut self, other: &Self) {
        self.count(None, &other.total());
        self.total_tokens = self.total_tokens.saturating_add(other.total_tokens);
        for (name, model) in &other.models {
            self.of_model(name).add(model);
        }
    }

    /// Counts what a model used, in total and, if it is named, by model.
    pub fn count(&mut self, model: Option<&str>, used: &ModelUsage) {
        let mut total = self.total();
        total.add(used);
        self.set_total(&total);
        if let Some(model) = model {
            self.of_model(model).add(used);
        }
    }

    /// The sum of a model; one more than are told apart is counted with the others.
    fn of_model(&mut self, name: &str) -> &mut ModelUsage {
        let is_apart = self.models.len() < MODELS_MAX || self.models.contains_key(name);
        self.models.entry(if is_apart { name } else { OTHER_MODELS }.to_owned()).or_default()
    }

    /// True when nothing was used.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl ModelUsage {
    /// Adds another record. Sums stop at their limits: a counter at its type's, a cost at [`AMOUNT_MAX`].
    fn add(&mut self, other: &Self) {
        for (sum, tokens) in [
            (&mut self.input_tokens, other.input_tokens),
            (&mut self.output_tokens, other.output_tokens),
            (&mut self.cache_creation_input_tokens, other.cache_creation_input_tokens),
            (&mut self.cache_read_input_tokens, other.cache_read_input_tokens),
        ] {
            *sum = sum.saturating_add(tokens);
        }
        self.cost_usd = (self.cost_usd + other.cost_usd).min(AMOUNT_MAX);
    }

    /// The sum of the four counters.
    fn tokens(&self) -> u64 {
        self.counters().iter().fold(0, |sum, (_, tokens)| sum.saturating_add(*tokens))
    }

    /// The counters by the names of their fields.
    fn counters(&self) -> [(&'static str, u64); 4] {
        [
            ("input_tokens", self.input_tokens),
            ("output_tokens", self.output_tokens),
            ("cache_creation_input_tokens", self.cache_creation_input_tokens),
            ("cache_read_input_tokens", self.cache_read_input_tokens),
        ]
    }

    /// Notes every fault below `pointer`.
    fn check(&self, pointer: &str, faults: &mut Faults) {
        for (field, tokens) in self.counters() {
            check_tokens(&format!("{pointer}/{field}"), tokens, faults);
        }
        if !(0.0..=COST_USD_MAX).contains(&self.cost_usd) {
            faults.add(
                &format!("{pointer}/cost_usd"),
                format!("cost_usd must be >= 0 and at most {COST_USD_MAX}"),
            );
        }
    }
}

fn check_tokens(pointer: &str, tokens: u64, faults: &mut Faults) {
    if tokens > TOKENS_MAX {
        faults.add(pointer, format!("must be at most {TOKENS_MAX}"));
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
    fn a_sum_tells_so_many_models_apart_and_counts_the_others_together() {
        let mut sum = Usage::default();
        for name in 0..MODELS_MAX + 2 {
            sum.add(&of_models(&[(&format!("m-{name}"), model(1, 0.5))]));
        }
        sum.add(&of_models(&[("m-0", model(1, 0.5))]));
        assert_eq!((sum.models.len(), &sum.models["m-0"]), (MODELS_MAX + 1, &model(2, 1.0)));
        assert_eq!(sum.models[OTHER_MODELS], model(2, 1.0));
        let named = |name: String| of_models(&[(&name, model(1, 0.5))]);
        assert_eq!(pointers(named("m".repeat(MODEL_NAME_BYTES_MAX + 1))), ["/usage/models"]);
        let many: Vec<_> = (0..=MODELS_MAX).map(|name| name.to_string()).collect();
        let many: Vec<_> = many.iter().map(|name| (name.as_str(), model(1, 0.5))).collect();
        assert_eq!(pointers(of_models(&many)), ["/usage/models"]);
    }

    #[test]
    fn costs_add_up_to_the_largest_amount_and_no_further() {
        let dear = |cost_usd| Usage {
            cost_usd,
            models: BTreeMap::from([("a".to_owned(), model(0, cost_usd))]),
            ..Usage::default()
        };
        let mut sum = dear(f64::MAX);
        sum.add(&dear(f64::MAX));
        assert_eq!(sum, dear(AMOUNT_MAX));
    }

    fn of_models(models: &[(&str, ModelUsage)]) -> Usage {
        let models = models.iter().map(|(name, model)| ((*name).to_owned(), model.clone())).collect();
        Usage { models, ..Usage::default() }
    }

    fn pointers(usage: Usage) -> Vec<String> {
        usage.reported().unwrap_err().into_iter().map(|fault| fault.pointer).collect()
    }

    #[test]
    fn a_report_at_its_limits_is_recorded_with_its_sums() {
        assert!(Usage::default().reported().unwrap().is_empty());
        let full = of_models(&[("a", model(TOKENS_MAX, COST_USD_MAX))]).reported().unwrap();
        assert_eq!((full.total_tokens, full.cost_usd), (TOKENS_MAX, COST_USD_MAX));
    }

    #[test]
    fn finite_costs_whose_sum_is_not_are_refused_and_every_one_is_named() {
        assert_eq!(
            pointers(of_models(&[("a/b", model(0, 1e308)), ("c~", model(0, 1e308))])),
            ["/usage/models/a~1b/cost_usd", "/usage/models/c~0/cost_usd"]
        );
        let within = [("a", model(0, COST_USD_MAX)), ("b", model(0, COST_USD_MAX))];
        assert_eq!(pointers(of_models(&within)), ["/usage"]);
    }

    #[test]
    fn a_cost_of_a_model_that_is_negative_or_no_number_is_refused() {
        for cost_usd in [-0.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let usage = Usage { cost_usd: 1.0, ..of_models(&[("a", model(0, cost_usd))]) };
            assert_eq!(pointers(usage), ["/usage/models/a/cost_usd"], "{cost_usd}");
        }
    }

    #[test]
    fn every_counter_is_bounded() {
        let over = TOKENS_MAX + 1;
        let cases = [
            (Usage { input_tokens: over, total_tokens: 1, ..Usage::default() }, "/usage/input_tokens"),
            (Usage { output_tokens: over, total_tokens: 1, ..Usage::default() }, "/usage/output_tokens"),
            (
                Usage { cache_creation_input_tokens: over, total_tokens: 1, ..Usage::default() },
                "/usage/cache_creation_input_tokens",
            ),
            (
                Usage { cache_read_input_tokens: over, total_tokens: 1, ..Usage::default() },
                "/usage/cache_read_input_tokens",
            ),
            (Usage { total_tokens: over, ..Usage::default() }, "/usage/total_tokens"),
            (
                Usage { input_tokens: 1, ..of_models(&[("a", model(u64::MAX, 0.0))]) },
                "/usage/models/a/input_tokens",
            ),
        ];
        for (usage, pointer) in cases {
            assert_eq!(pointers(usage), [pointer]);
        }
        let sum = Usage { input_tokens: TOKENS_MAX, output_tokens: 1, ..Usage::default() };
        assert_eq!(pointers(sum), ["/usage"], "the total was not given");
        let half = TOKENS_MAX / 2 + 1;
        let dear = |cost_usd| model(half, cost_usd);
        let sum = of_models(&[("a", dear(COST_USD_MAX)), ("b", dear(1.0))]);
        assert_eq!(pointers(sum), ["/usage", "/usage"]);
    }
}
