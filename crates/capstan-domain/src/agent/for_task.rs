//! An agent as a task is accepted for.

use capstan_decider::Decider as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Agent, Created, Event, State};
use crate::canonical;
use crate::id::AgentId;

/// Hex digits of a configuration's hash: enough to notice that another one was found under a version.
const HASH_DIGITS: usize = 16;

/// A configuration of an agent, by number. The agent's stream keeps every one, so that whoever leases an attempt of a task
/// gets the very configuration the task was accepted with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigVersion {
    /// Its number among the configurations the agent had, from 1.
    pub version: u64,
    /// First 16 hexadecimal digits of the SHA-256 of its canonical JSON.
    pub hash: String,
}

impl ConfigVersion {
    /// The version of this number.
    pub fn new(version: u64, config: &Map<String, Value>) -> Self {
        let mut hash = canonical::hash(&Value::Object(config.clone()));
        hash.truncate(HASH_DIGITS);
        Self { version, hash }
    }
}

/// The facts about an agent that a task freezes when it is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentForTask {
    /// The agent.
    pub agent_id: AgentId,
    /// Its workspace, which becomes the task's.
    pub workspace: String,
    /// Its key.
    pub agent_key: String,
    /// Its name.
    pub name: String,
    /// True when it takes commands.
    pub active: bool,
    /// Its configuration.
    pub config: ConfigVersion,
    /// What the task itself needs of the configuration.
    pub settings: TaskSettings,
}

/// The settings of an agent's configuration that decisions about its tasks need, and that lists show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskSettings {
    /// Provider of the model.
    pub provider: Option<String>,
    /// Model.
    pub model: Option<String>,
    /// The pool of workers that may execute it; any when absent.
    pub pool: Option<String>,
    /// Tools that need no approval under `ask: on-miss`.
    pub allowed_tools: Vec<String>,
}

impl TaskSettings {
    fn new(config: &Map<String, Value>) -> Self {
        let text = |key: &str| config.get(key).and_then(Value::as_str).map(str::to_owned);
        let tools = config.get("allowed_tools").and_then(Value::as_array);
        let tools = tools.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
        Self {
            provider: text("provider"),
            model: text("model"),
            pool: text("pool").map(|pool| pool.trim().to_owned()).filter(|pool| !pool.is_empty()),
            allowed_tools: tools.collect(),
        }
    }
}

impl AgentForTask {
    fn new(profile: &Created, config: ConfigVersion) -> Self {
        Self {
            agent_id: profile.agent_id,
            workspace: profile.workspace.clone(),
            agent_key: profile.agent_key.clone(),
            name: profile.name.clone(),
            active: profile.active,
            config,
            settings: TaskSettings::new(&profile.config),
        }
    }
}

/// An agent as it was created.
impl From<Created> for AgentForTask {
    fn from(created: Created) -> Self {
        Self::new(&created, ConfigVersion::new(1, &created.config))
    }
}

impl State {
    /// The agent for a task accepted now; `None` for one that is not there.
    pub fn for_task(&self) -> Option<AgentForTask> {
        Some(AgentForTask::new(self.profile.as_ref()?, self.config.clone()))
    }

    /// The configuration, if it still is this version.
    pub fn config_of(&self, version: &ConfigVersion) -> Option<&Map<String, Value>> {
        self.profile.as_ref().filter(|_| self.config == *version).map(|profile| &profile.config)
    }
}

/// The configuration of this number in the history of an agent, which begins with `state`.
pub fn config_in<'a>(
    mut state: State,
    history: impl IntoIterator<Item = &'a Event>,
    version: u64,
) -> Option<(ConfigVersion, Map<String, Value>)> {
    let found = |state: &State| {
        let config = state.config_of(&state.config).filter(|_| state.config.version == version)?;
        Some((state.config.clone(), config.clone()))
    };
    found(&state).or_else(|| {
        history.into_iter().find_map(|event| {
            state = Agent::evolve(std::mem::take(&mut state), event);
            found(&state)
        })
    })
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::json;

    use super::*;
    use crate::Requested;
    use crate::agent::fixture::create;
    use crate::agent::{Command, UpdateAgent};

    fn history(commands: Vec<Requested<Command>>) -> Vec<Event> {
        let mut state = State::default();
        let decide = |command| {
            let events = Agent::decide(&state, &command).unwrap();
            state = capstan_decider::fold::<Agent>(std::mem::take(&mut state), &events);
            events
        };
        commands.into_iter().flat_map(decide).collect()
    }

    #[test]
    fn every_configuration_an_agent_had_is_found_by_its_number() {
        let created = || create("demo", "Demo", json!({ "runner": "process", "pool": "a" }));
        let delete = Requested::new(Command::Delete { open_tasks: 0 }, DateTime::UNIX_EPOCH);
        let events = history(vec![
            created(),
            update(json!({ "agent_id": "demo", "config": { "pool": "b" } })),
            update(json!({ "agent_id": "demo", "name": "Other" })),
            delete,
            created(),
        ]);
        let pool =
            |version| config_in(State::default(), &events, version).map(|(_, config)| config["pool"].clone());
        assert_eq!((1..=3).map(pool).collect::<Option<Vec<_>>>().unwrap(), ["a", "b", "a"]);
        assert_eq!((pool(0), pool(4)), (None, None));
    }

    fn after(commands: Vec<Requested<Command>>) -> State {
        capstan_decider::fold::<Agent>(State::default(), &history(commands))
    }

    fn update(change: serde_json::Value) -> Requested<Command> {
        let update: UpdateAgent = serde_json::from_value(change).unwrap();
        Requested::new(Command::Update(Box::new(update)), DateTime::UNIX_EPOCH)
    }

    #[test]
    fn only_another_configuration_is_a_new_version() {
        let config = json!({ "runner": "process", "pool": " gpu ", "allowed_tools": ["a"] });
        let created = || create("demo", "Demo", config.clone());
        let first = after(vec![created()]);
        assert_eq!(first.config.version, 1);
        let settings = first.for_task().unwrap().settings;
        assert_eq!((settings.pool.as_deref(), settings.allowed_tools), (Some("gpu"), vec!["a".to_owned()]));

        let renamed = after(vec![created(), update(json!({ "agent_id": "demo", "name": "Other" }))]);
        assert_eq!(renamed.config, first.config);
        let changed =
            after(vec![created(), update(json!({ "agent_id": "demo", "config": { "pool": "cpu" } }))]);
        assert_eq!(changed.config.version, 2);
        assert_eq!((changed.config_of(&first.config), first.config_of(&changed.config)), (None, None));
        assert_eq!(changed.config_of(&changed.config).unwrap()["pool"], "cpu");

        let delete = Requested::new(Command::Delete { open_tasks: 0 }, DateTime::UNIX_EPOCH);
        let reborn = after(vec![created(), delete, created()]);
        assert_eq!((reborn.config.version, &reborn.config.hash), (2, &first.config.hash));
    }
}
