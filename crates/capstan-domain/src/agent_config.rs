//! An agent's configuration.

use serde_json::{Map, Value};

use crate::Faults;
use crate::choice::unsupported;
use crate::limits::{self, NAME_BYTES_MAX};
use crate::stored::json_bytes;

mod prompt;

/// Reads, merges and normalises an agent's configuration map.
#[derive(Debug)]
pub struct AgentConfig;

/// The supported runners, each with its provider. The worker has a runner of each name (tested in the executable).
const RUNNERS: &[(&str, &str)] = &[("claude_code", "claude"), ("process", "process")];

/// Most bytes of a configuration as JSON.
const CONFIG_BYTES_MAX: usize = 512 << 10;

/// The known keys whose value is a text.
const TEXTS: &[&str] = &["runner", "provider", "model", "pool", "system_prompt", "workspace_dir"];

/// The runner that executes any command; it needs no system prompt.
const WITHOUT_PROMPT: &str = "process";

impl AgentConfig {
    /// The names of the supported runners.
    pub fn runner_names() -> impl Iterator<Item = &'static str> {
        RUNNERS.iter().map(|(name, _)| *name)
    }

    /// The configuration of an agent with this key that is given none.
    pub fn default_for(agent_key: &str) -> Map<String, Value> {
        Self::normalised(&Map::new(), agent_key, &mut Faults::default())
    }

    /// Fills defaults, derives the provider from the runner and both from a telling model name. Unknown keys
    /// are kept; faults are noted under `/config`, also of known keys with a value of another type.
    pub fn normalised(
        given: &Map<String, Value>,
        agent_key: &str,
        faults: &mut Faults,
    ) -> Map<String, Value> {
        let mut config = given.clone();
        // As in an update: null is no value.
        config.retain(|_, value| !value.is_null());
        check_types(&config, faults);
        // Updates add keys to it, and every task is given a copy.
        let is_small = json_bytes(&config) <= CONFIG_BYTES_MAX;
        faults.require(is_small, "/config", format_args!("must be at most {CONFIG_BYTES_MAX} bytes"));
        for key in ["runner", "provider", "model", "pool"] {
            let pointer = format!("/config/{key}");
            limits::check(&pointer, config.get(key).and_then(Value::as_str), NAME_BYTES_MAX, faults);
        }
        if let Some(tools) = config.get("allowed_tools").and_then(Value::as_array) {
            let names = tools.iter().map(|tool| tool.as_str().unwrap_or_default());
            limits::check_names("/config/allowed_tools", names, faults);
        }
        let text = |key: &str| given.get(key).and_then(Value::as_str).map(str::trim).unwrap_or_default();
        let (mut runner, mut provider) = (text("runner").to_lowercase(), text("provider").to_lowercase());
        let model = text("model");
        if model.starts_with("claude-") {
            (runner, provider) = ("claude_code".into(), "claude".into());
        }
        if runner.is_empty() {
            let of_provider = RUNNERS.iter().find(|(_, p)| *p == provider);
            runner = of_provider.map_or("claude_code", |(r, _)| r).into();
        }
        match RUNNERS.iter().find(|(r, _)| *r == runner) {
            None => {
                faults.add("/config/runner", unsupported("runner", &runner, Self::runner_names()));
            }
            Some((_, of_runner)) if provider.is_empty() => provider = (*of_runner).into(),
            Some(_) => {}
        }
        if !provider.is_empty() && !RUNNERS.iter().any(|(_, p)| *p == provider) {
            let providers = RUNNERS.iter().map(|(_, provider)| *provider);
            faults.add("/config/provider", unsupported("provider", &provider, providers));
        }
        if let Some(prompt) = system_prompt(text("system_prompt"), given.contains_key("skills"), &runner) {
            config.insert("system_prompt".into(), prompt.into());
        }
        if let Some(skills) = config.get_mut("skills") {
            *skills = distinct_skills(skills);
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

    /// The configuration as sent to a worker: the skills it names are at the top of the system prompt.
    pub fn briefed(config: &Map<String, Value>) -> Map<String, Value> {
        let mut briefed = config.clone();
        let given = config.get("system_prompt").and_then(Value::as_str).unwrap_or_default();
        let skills = distinct_skills(config.get("skills").unwrap_or(&Value::Null));
        let names: Vec<_> = skills.as_array().into_iter().flatten().filter_map(name_of).collect();
        let prompt = prompt::with_skills(given, &names);
        if prompt != given {
            briefed.insert("system_prompt".into(), prompt.into());
        }
        briefed
    }

    /// The tools that need no approval under `ask: on-miss`.
    pub fn allowed_tools(config: &Map<String, Value>) -> impl Iterator<Item = &str> {
        let tools = config.get("allowed_tools").and_then(Value::as_array);
        tools.into_iter().flatten().filter_map(Value::as_str)
    }

    /// Merges changed keys into a configuration without normalising it again; null removes a key.
    pub fn merge(config: &mut Map<String, Value>, changes: &Map<String, Value>) {
        for (key, value) in changes {
            if value.is_null() {
                config.remove(key);
            } else {
                config.insert(key.clone(), value.clone());
            }
        }
    }

    /// True when [merging](Self::merge) these keys changes the configuration.
    pub fn is_changed(config: &Map<String, Value>, changes: &Map<String, Value>) -> bool {
        changes.iter().any(|(key, value)| config.get(key) != Some(value).filter(|value| !value.is_null()))
    }

    /// A stored configuration with changed keys, normalised.
    pub fn updated(
        stored: &Map<String, Value>,
        changes: &Map<String, Value>,
        agent_key: &str,
        faults: &mut Faults,
    ) -> Map<String, Value> {
        let mut config = stored.clone();
        if changes.contains_key("runner") && !changes.contains_key("provider") {
            // The stored provider was that of the runner before.
            config.remove("provider");
        }
        Self::merge(&mut config, changes);
        Self::normalised(&config, agent_key, faults)
    }

    /// The keys in which two configurations differ, with their new values; null for one that is gone.
    pub fn difference(from: &Map<String, Value>, to: &Map<String, Value>) -> Map<String, Value> {
        let changed = to.iter().filter(|(key, value)| from.get(*key) != Some(*value));
        let gone = from.keys().filter(|key| !to.contains_key(*key));
        changed
            .map(|(key, value)| (key.clone(), value.clone()))
            .chain(gone.map(|key| (key.clone(), Value::Null)))
            .collect()
    }
}

/// Notes every known key whose value is of another type: it would be passed over where it is read.
fn check_types(config: &Map<String, Value>, faults: &mut Faults) {
    for key in TEXTS {
        let is_text = config.get(*key).is_none_or(Value::is_string);
        faults.require(is_text, &format!("/config/{key}"), format_args!("{key} must be a text"));
    }
    let is_named = |skill: &Value| name_of(skill).is_some_and(|name| !name.is_empty());
    check_list(config, "skills", is_named, "must be the name of a skill, or an object with its name", faults);
    let is_tool = |tool: &Value| tool.as_str().is_some_and(|name| !name.trim().is_empty());
    check_list(config, "allowed_tools", is_tool, "must be the name of a tool", faults);
}

fn check_list(
    config: &Map<String, Value>,
    key: &str,
    fits: impl Fn(&Value) -> bool,
    message: &str,
    faults: &mut Faults,
) {
    let pointer = format!("/config/{key}");
    match config.get(key) {
        None => {}
        Some(Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                faults.require(fits(item), &format!("{pointer}/{index}"), message);
            }
        }
        Some(_) => faults.add(&pointer, format!("{key} must be a list")),
    }
}

/// The prompt to store, when it is another than the one given.
fn system_prompt(given: &str, has_skills: bool, runner: &str) -> Option<String> {
    let kept = if has_skills { prompt::without_skills(given) } else { given.to_owned() };
    if kept.is_empty() && runner != WITHOUT_PROMPT {
        return Some(prompt::default_prompt());
    }
    (kept != given).then_some(kept)
}

fn name_of(skill: &Value) -> Option<&str> {
    skill.as_str().or_else(|| skill.get("name")?.as_str()).map(str::trim)
}

/// Skills are names, or objects with a name: trimmed, each name once.
fn distinct_skills(given: &Value) -> Value {
    let mut seen: Vec<String> = Vec::new();
    let mut kept = Vec::new();
    for skill in given.as_array().map(Vec::as_slice).unwrap_or_default() {
        let Some(name) = name_of(skill) else { continue };
        if name.is_empty() || seen.iter().any(|known| known == name) {
            continue;
        }
        seen.push(name.to_owned());
        let mut skill = skill.clone();
        if let Value::Object(object) = &mut skill {
            object.insert("name".into(), name.into());
        } else {
            skill = name.into();
        }
        kept.push(skill);
    }
    kept.into()
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
        let (config, faults) = normalised(json!({"runner": "process", "model": "m-1", "extra": 1}));
        assert_eq!(
            (faults, &config["provider"], &config["model"], &config["extra"]),
            (0, &json!("process"), &json!("m-1"), &json!(1))
        );
    }

    #[test]
    fn a_telling_model_overrides_runner_and_provider() {
        let (config, _) =
            normalised(json!({"runner": "process", "provider": "process", "model": "claude-x"}));
        assert_eq!((&config["runner"], &config["provider"]), (&json!("claude_code"), &json!("claude")));
    }

    #[test]
    fn an_unknown_runner_or_provider_is_a_fault() {
        assert_eq!(normalised(json!({"runner": "nope"})).1, 1);
        assert_eq!(normalised(json!({"runner": "air"})).1, 1);
        assert_eq!(normalised(json!({"provider": "nope"})).1, 1);
    }

    #[test]
    fn the_default_has_a_folder_and_a_prompt_with_the_guidance_once() {
        let config = AgentConfig::default_for("x");
        assert_eq!(config["workspace_dir"], "/workspace/agents/x");
        assert_eq!(AgentConfig::default_for(" ")["workspace_dir"], "/workspace");
        let prompt = config["system_prompt"].as_str().unwrap();
        assert_eq!(prompt.matches("## Working over time").count(), 1);
        assert_eq!(normalised(Value::Object(config.clone())).0, config, "what is normal stays");
    }

    #[test]
    fn a_process_is_given_no_prompt() {
        assert_eq!(normalised(json!({"runner": "process"})).0.get("system_prompt"), None);
        assert_eq!(normalised(json!({"system_prompt": "mine"})).0["system_prompt"], "mine");
    }

    #[test]
    fn skills_are_trimmed_and_named_once() {
        let (config, _) = normalised(json!({"skills": ["a", " a ", {"name": " b ", "level": 2}]}));
        assert_eq!(config["skills"], json!(["a", {"name": "b", "level": 2}]));
        let (config, _) =
            normalised(json!({"skills": ["a"], "system_prompt": "Be kind.\n\n## Active skills\n\n- old"}));
        assert_eq!(config["system_prompt"], "Be kind.");
    }

    #[test]
    fn a_known_key_of_another_type_is_a_fault_where_it_stands() {
        for (given, pointers) in [
            (json!({"provider": 3}), &["/config/provider"][..]),
            (json!({"runner": 5, "model": 5}), &["/config/runner", "/config/model"]),
            (
                json!({"system_prompt": 7, "workspace_dir": 3}),
                &["/config/system_prompt", "/config/workspace_dir"],
            ),
            (json!({"pool": ["a"]}), &["/config/pool"]),
            (json!({"skills": "x", "allowed_tools": {}}), &["/config/skills", "/config/allowed_tools"]),
            (
                json!({"skills": [1, "a", " ", {"level": 1}], "allowed_tools": ["a", 1]}),
                &["/config/skills/0", "/config/skills/2", "/config/skills/3", "/config/allowed_tools/1"],
            ),
            (json!({"model": null, "skills": null, "unknown": 7}), &[]),
        ] {
            let Value::Object(config) = given else { panic!("a config is an object") };
            let mut faults = Faults::default();
            AgentConfig::normalised(&config, "x", &mut faults);
            let faults = faults.into_result().err().unwrap_or_default();
            let found: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
            assert_eq!(found, pointers, "{config:?}");
        }
    }

    #[test]
    fn skills_are_mandatory_in_the_prompt_of_a_worker() {
        let Value::Object(config) =
            json!({"skills": ["a", " a ", 3, {"name": "b"}], "system_prompt": "Be kind.", "x": 1})
        else {
            panic!("a config")
        };
        let briefed = AgentConfig::briefed(&config);
        let prompt = briefed["system_prompt"].as_str().unwrap();
        assert!(
            prompt.starts_with("## Active skills") && prompt.ends_with("- a\n- b\n\nBe kind."),
            "{prompt}"
        );
        assert_eq!((&briefed["x"], &briefed["skills"]), (&config["x"], &config["skills"]));
        let (without, _) = normalised(json!({"runner": "process", "skills": []}));
        assert_eq!(AgentConfig::briefed(&without), without);
    }

    #[test]
    fn a_difference_merged_gives_what_it_was_taken_from() {
        let (from, _) = normalised(json!({"runner": "process", "a": 1, "b": 2}));
        let (to, _) = normalised(json!({"runner": "claude_code", "b": 3, "c": null}));
        let mut merged = from.clone();
        AgentConfig::merge(&mut merged, &AgentConfig::difference(&from, &to));
        assert_eq!(merged, to);
    }

    #[test]
    fn a_merge_that_changes_something_is_known_before_it() {
        let from = json!({"a": 1, "b": {"c": [2]}, "n": null});
        let from = from.as_object().unwrap();
        for changes in [
            json!({}),
            json!({"a": 1}),
            json!({"a": 1.5}),
            json!({"b": {"c": [2]}}),
            json!({"b": {"c": []}}),
            json!({"a": null}),
            json!({"n": null}),
            json!({"gone": null}),
            json!({"new": 0}),
        ] {
            let (changes, mut merged) = (changes.as_object().unwrap(), from.clone());
            AgentConfig::merge(&mut merged, changes);
            assert_eq!(AgentConfig::is_changed(from, changes), merged != *from, "{changes:?}");
        }
    }
}
