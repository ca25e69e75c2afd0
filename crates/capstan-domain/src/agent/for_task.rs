//! An agent as a task is accepted for.

use capstan_decider::Decider as _;
use serde_json::{Map, Value};

use super::{Agent, Created, Event, State};
use crate::id::AgentId;

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
    /// Number of its configuration.
    pub config_version: u64,
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
}

impl TaskSettings {
    fn new(config: &Map<String, Value>) -> Self {
        let text = |key: &str| config.get(key).and_then(Value::as_str).map(str::to_owned);
        Self {
            provider: text("provider"),
            model: text("model"),
            pool: text("pool").map(|pool| pool.trim().to_owned()).filter(|pool| !pool.is_empty()),
        }
    }
}

impl AgentForTask {
    fn new(profile: &Created, config_version: u64) -> Self {
        Self {
            agent_id: profile.agent_id,
            workspace: profile.workspace.clone(),
            agent_key: profile.agent_key.clone(),
            name: profile.name.clone(),
            active: profile.active,
            config_version,
            settings: TaskSettings::new(&profile.config),
        }
    }
}

/// An agent as it was created.
impl From<Created> for AgentForTask {
    fn from(created: Created) -> Self {
        Self::new(&created, 1)
    }
}

impl State {
    /// The agent for a task accepted now; `None` for one that is not there.
    pub fn for_task(&self) -> Option<AgentForTask> {
        Some(AgentForTask::new(self.profile.as_ref()?, self.config_version))
    }

    /// The configuration, if it still is the one of this number.
    pub fn config_of(&self, version: u64) -> Option<&Map<String, Value>> {
        self.profile.as_ref().filter(|_| self.config_version == version).map(|profile| &profile.config)
    }
}

/// The configuration of this number in the history of an agent, which begins with `state`; where the history begins with a
/// later one, because those before are archived, that. With its number; `None` for one the agent has not had yet, or had last
/// before it was deleted.
pub fn config_from<'a>(
    mut state: State,
    history: impl IntoIterator<Item = &'a Event>,
    version: u64,
) -> Option<(u64, Map<String, Value>)> {
    let found = |state: &State| {
        let profile = state.profile.as_ref().filter(|_| state.config_version >= version)?;
        Some((state.config_version, profile.config.clone()))
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
        let pool = |version| {
            let (number, config) = config_from(State::default(), &events, version)?;
            assert_eq!(number, version);
            Some(config["pool"].clone())
        };
        assert_eq!((1..=3).map(pool).collect::<Option<Vec<_>>>().unwrap(), ["a", "b", "a"]);
        assert_eq!(pool(4), None);
    }

    #[test]
    fn of_an_archived_beginning_the_first_configuration_that_is_left_is_found() {
        let pooled = |pool: &str| update(json!({ "agent_id": "demo", "config": { "pool": pool } }));
        let begun = || vec![create("demo", "Demo", json!({ "runner": "process", "pool": "a" })), pooled("b")];
        let delete = || Requested::new(Command::Delete { open_tasks: 0 }, DateTime::UNIX_EPOCH);
        let from = |begun: Vec<_>, later: Vec<_>, version| {
            let all = history(begun.iter().cloned().chain(later).collect());
            let archived = history(begun);
            let state = capstan_decider::fold::<Agent>(State::default(), &archived);
            let (number, config) = config_from(state, &all[archived.len()..], version)?;
            Some((number, config["pool"].as_str().unwrap().to_owned()))
        };
        let is = |number, pool: &str| Some((number, pool.to_owned()));
        assert_eq!(from(begun(), vec![pooled("c")], 1), is(2, "b"));
        assert_eq!(from(begun(), vec![pooled("c")], 2), is(2, "b"));
        assert_eq!(from(begun(), vec![pooled("c")], 3), is(3, "c"));
        let deleted = || [begun(), vec![delete()]].concat();
        assert_eq!(from(deleted(), vec![], 1), None);
        assert_eq!(from(deleted(), vec![begun().remove(0)], 1), is(3, "a"));
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
        let config = json!({ "runner": "process", "pool": " gpu " });
        let created = || create("demo", "Demo", config.clone());
        let first = after(vec![created()]);
        assert_eq!(first.config_version, 1);
        let settings = first.for_task().unwrap().settings;
        assert_eq!(settings.pool.as_deref(), Some("gpu"));

        let renamed = after(vec![created(), update(json!({ "agent_id": "demo", "name": "Other" }))]);
        assert_eq!(renamed.config_version, 1);
        let changed =
            after(vec![created(), update(json!({ "agent_id": "demo", "config": { "pool": "cpu" } }))]);
        assert_eq!(changed.config_version, 2);
        assert_eq!((changed.config_of(1), first.config_of(2)), (None, None));
        assert_eq!(changed.config_of(2).unwrap()["pool"], "cpu");

        let delete = Requested::new(Command::Delete { open_tasks: 0 }, DateTime::UNIX_EPOCH);
        let reborn = after(vec![created(), delete, created()]);
        assert_eq!((reborn.config_version, reborn.config_of(2)), (2, first.config_of(1)));
    }
}
