//! An agent's configuration (reference/behaviour 9.4).

use serde_json::{Map, Value};

use crate::Faults;

/// Reads and normalises an agent's configuration map.
#[derive(Debug)]
pub struct AgentConfig;

/// The runners we know and the provider each stands for.
const RUNNERS: &[(&str, &str)] = &[("claude_code", "claude"), ("air", "air"), ("process", "process")];

impl AgentConfig {
    /// Fills defaults, derives the provider from the runner and both from a telling model name. Unknown keys
    /// are kept; faults are noted under `/config`.
    pub fn normalised(
        given: &Map<String, Value>,
        agent_key: &str,
        faults: &mut Faults,
    ) -> Map<String, Value> {
        let mut config = given.clone();
        let text = |key: &str| given.get(key).and_then(Value::as_str).map(str::trim).unwrap_or_default();
        let (mut runner, mut provider) = (text("runner").to_lowercase(), text("provider").to_lowercase());
        let model = text("model");
        if model.starts_with("airstore-") {
            (runner, provider) = ("air".into(), "air".into());
        } else if model.starts_with("claude-") {
            (runner, provider) = ("claude_code".into(), "claude".into());
        }
        if runner.is_empty() {
            let of_provider = RUNNERS.iter().find(|(_, p)| *p == provider);
            runner = of_provider.map_or("claude_code", |(r, _)| r).into();
        }
        match RUNNERS.iter().find(|(r, _)| *r == runner) {
            None => faults.add("/config/runner", format!("runner {runner:?} is not supported")),
            Some((_, of_runner)) if provider.is_empty() => provider = (*of_runner).into(),
            Some(_) => {}
        }
        if !provider.is_empty() && !RUNNERS.iter().any(|(_, p)| *p == provider) {
            faults.add("/config/provider", format!("provider {provider:?} is not supported"));
        }
        config.insert("runner".into(), runner.into());
        config.insert("provider".into(), provider.into());
        if text("workspace_dir").is_empty() {
            let key = agent_key.trim();
            let dir = if key.is_empty() { "/workspace".into() } else { format!("/workspace/agents/{key}") };
            config.insert("workspace_dir".into(), dir.into());
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn normalised(config: Value) -> (Map<String, Value>, usize) {
        let Value::Object(config) = config else { panic!("a config is an object") };
        let mut faults = Faults::default();
        let config = AgentConfig::normalised(&config, "x", &mut faults);
        (config, faults.into_result().err().map_or(0, |faults| faults.len()))
    }

    #[test]
    fn the_provider_follows_the_runner_and_the_model_is_kept() {
        let (config, faults) = normalised(json!({"runner": "air", "model": "m-1", "extra": 1}));
        assert_eq!(
            (faults, &config["provider"], &config["model"], &config["extra"]),
            (0, &json!("air"), &json!("m-1"), &json!(1))
        );
    }

    #[test]
    fn a_telling_model_overrides_runner_and_provider() {
        let (config, _) = normalised(json!({"runner": "air", "provider": "air", "model": "claude-x"}));
        assert_eq!((&config["runner"], &config["provider"]), (&json!("claude_code"), &json!("claude")));
    }

    #[test]
    fn an_unknown_runner_or_provider_is_a_fault() {
        assert_eq!(normalised(json!({"runner": "nope"})).1, 1);
        assert_eq!(normalised(json!({"provider": "nope"})).1, 1);
    }
}
