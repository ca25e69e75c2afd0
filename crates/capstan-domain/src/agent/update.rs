//! Changing an agent: only what differs becomes part of the event.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::agent::{Created, MEMORY_SCOPE_DEFAULT, ROLE_DEFAULT, check_amounts, check_words, or_default};
use crate::agent_config::AgentConfig;
use crate::change::only_changes_are_null;
use crate::finite::{self, AMOUNT_MAX};
use crate::id::AgentId;
use crate::implied::{At, Own};
use crate::redaction::refuse_placeholders;
use crate::{Change, Fault, Faults};

/// Changes an agent; what is absent stays.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = only_changes_are_null)]
pub struct UpdateAgent {
    /// Id or key of the agent.
    pub agent_id: String,
    /// Display name.
    pub name: Option<String>,
    /// Role of the agent; `generalist` when blank.
    pub role: Option<String>,
    /// Scope of the agent's memory; `workspace` when blank.
    pub memory_scope: Option<String>,
    /// A judgement that surfaces in stats; null takes it away.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    #[schemars(range(min = 0.0, max = AMOUNT_MAX))]
    pub quality_score: Change<f64>,
    /// Limit of what the agent may cost, in US dollars; null lifts it.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    #[schemars(range(min = 0.0, max = AMOUNT_MAX))]
    pub cost_budget_usd: Change<f64>,
    /// Keys of the configuration with their new values; null removes a key, the others stay.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub config: Map<String, Value>,
    /// True if the agent accepts commands.
    pub active: Option<bool>,
}

stored! {
/// The agent was changed; what is absent stayed.
pub struct Updated {
    /// The agent.
    pub agent_id: Own<AgentId>,
    /// Its new display name.
    pub name: Option<String>,
    /// Its new role.
    pub role: Option<String>,
    /// The new scope of its memory.
    pub memory_scope: Option<String>,
    /// The new judgement; null when there is none any more.
    #[serde(default, skip_serializing_if = "Change::is_keep", serialize_with = "finite::serialize_change")]
    pub quality_score: Change<f64>,
    /// The new limit; null when there is none any more.
    #[serde(default, skip_serializing_if = "Change::is_keep", serialize_with = "finite::serialize_change")]
    pub cost_budget_usd: Change<f64>,
    /// The changed keys of the configuration; null for one that is gone.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub config: Map<String, Value>,
    /// True when it takes commands now.
    pub active: Option<bool>,
    /// Time of the event.
    pub updated_at: At,
}
}

/// The fields an update may change, wherever an agent is kept.
#[derive(Debug)]
pub struct Fields<'a> {
    /// Display name.
    pub name: &'a mut String,
    /// Its role.
    pub role: &'a mut String,
    /// The scope of its memory.
    pub memory_scope: &'a mut String,
    /// A judgement that surfaces in stats.
    pub quality_score: &'a mut Option<f64>,
    /// Limit of what the agent may cost, in US dollars.
    pub cost_budget_usd: &'a mut Option<f64>,
    /// Its configuration.
    pub config: &'a mut Map<String, Value>,
    /// True when it takes commands.
    pub active: &'a mut bool,
}

impl Updated {
    /// Changes an agent; whoever folds the event uses this.
    pub fn apply(&self, agent: Fields<'_>) {
        let Fields { name, role, memory_scope, quality_score, cost_budget_usd, config, active } = agent;
        let replace = |field: &mut String, new: &Option<String>| {
            if let Some(new) = new {
                field.clone_from(new);
            }
        };
        replace(name, &self.name);
        replace(role, &self.role);
        replace(memory_scope, &self.memory_scope);
        self.quality_score.apply(quality_score);
        self.cost_budget_usd.apply(cost_budget_usd);
        AgentConfig::merge(config, &self.config);
        *active = self.active.unwrap_or(*active);
    }

    fn changes_nothing(&self) -> bool {
        self.name.is_none()
            && self.role.is_none()
            && self.memory_scope.is_none()
            && self.quality_score.is_keep()
            && self.cost_budget_usd.is_keep()
            && self.config.is_empty()
            && self.active.is_none()
    }
}

/// The change as an event; none when it changes nothing.
pub(super) fn updated(
    profile: &Created,
    update: &UpdateAgent,
    at: DateTime<Utc>,
) -> Result<Option<Updated>, Vec<Fault>> {
    let mut faults = Faults::default();
    let name = update.name.as_deref().map(str::trim);
    faults.require(name.is_none_or(|name| !name.is_empty()), "/name", "name cannot be empty");
    check_words(name, update.role.as_deref(), update.memory_scope.as_deref(), &mut faults);
    check_amounts(
        update.quality_score.value().copied(),
        update.cost_budget_usd.value().copied(),
        &mut faults,
    );
    refuse_placeholders(&update.config, "/config", &mut faults);
    let config = AgentConfig::updated(&profile.config, &update.config, &profile.agent_key, &mut faults);
    faults.into_result()?;
    let differing = |new: Option<String>, present: &str| new.filter(|new| new != present);
    let filled = |given: &Option<String>, default: &str| {
        given.as_deref().map(|given| or_default(Some(given), default))
    };
    let event = Updated {
        agent_id: profile.agent_id,
        name: differing(name.map(str::to_owned), &profile.name),
        role: differing(filled(&update.role, ROLE_DEFAULT), &profile.role),
        memory_scope: differing(filled(&update.memory_scope, MEMORY_SCOPE_DEFAULT), &profile.memory_scope),
        quality_score: update.quality_score.against(profile.quality_score.as_ref()),
        cost_budget_usd: update.cost_budget_usd.against(profile.cost_budget_usd.as_ref()),
        config: AgentConfig::difference(&profile.config, &config),
        active: update.active.filter(|active| *active != profile.active),
        updated_at: at,
    };
    Ok(Some(event).filter(|event| !event.changes_nothing()))
}

#[cfg(test)]
mod tests {
    use capstan_decider::spec::{Given, given};
    use serde_json::json;

    use super::*;
    use crate::Requested;
    use crate::agent::{Agent, Command, Event, Rejection, fixture};

    fn demo() -> Given<Agent> {
        let config = json!({"runner": "process", "model": "m-1", "token": "s3cret"});
        given::<Agent>([]).and(fixture::create("demo", "Demo", config))
    }

    fn update(change: impl FnOnce(&mut UpdateAgent)) -> Requested<Command> {
        let mut update = Box::new(UpdateAgent::default());
        change(&mut update);
        Requested::new(Command::Update(update), DateTime::UNIX_EPOCH)
    }

    fn config(config: Value) -> Map<String, Value> {
        let Value::Object(config) = config else { panic!("a config is an object") };
        config
    }

    fn event(events: &[Event]) -> &Updated {
        let [Event::Updated(updated)] = events else { panic!("one update: {events:?}") };
        updated
    }

    #[test]
    fn only_what_is_given_changes() {
        let command = update(|update| update.name = Some(" Renamed ".into()));
        demo().when(command).then_with(|events, state| {
            let told = serde_json::to_value(event(events)).unwrap();
            let fields: Vec<&String> = told.as_object().unwrap().keys().collect();
            assert_eq!(fields, ["agent_id", "name", "updated_at"]);
            let profile = state.profile.as_ref().unwrap();
            assert_eq!(
                (profile.name.as_str(), profile.config["token"].as_str()),
                ("Renamed", Some("s3cret"))
            );
        });
    }

    #[test]
    fn a_score_and_a_budget_can_be_set_and_cleared() {
        let set = update(|update| {
            (update.quality_score, update.cost_budget_usd) = (Change::Set(0.5), Change::Set(3.0));
        });
        let clear = update(|update| update.quality_score = Change::Clear);
        demo().and(set).when(clear).then_with(|events, state| {
            assert_eq!(
                (event(events).quality_score, event(events).cost_budget_usd),
                (Change::Clear, Change::Keep)
            );
            let profile = state.profile.as_ref().unwrap();
            assert_eq!((profile.quality_score, profile.cost_budget_usd), (None, Some(3.0)));
        });
    }

    #[test]
    fn a_blank_role_or_scope_becomes_the_default() {
        let named = update(|update| update.role = Some("writer".into()));
        let blank =
            update(|update| (update.role, update.memory_scope) = (Some(" ".into()), Some(String::new())));
        demo().and(named).when(blank).then_with(|events, state| {
            assert_eq!(event(events).memory_scope, None, "it was the default already");
            assert_eq!(state.profile.as_ref().unwrap().role, ROLE_DEFAULT);
        });
    }

    #[test]
    fn a_config_is_merged_key_by_key_and_null_removes_one() {
        let merge = update(|update| update.config = config(json!({"model": null, "x": {"y": 1}})));
        demo().when(merge).then_with(|events, state| {
            assert_eq!(event(events).config, config(json!({"model": null, "x": {"y": 1}})));
            let merged = &state.profile.as_ref().unwrap().config;
            assert_eq!(
                (merged.get("model"), &merged["x"]["y"], &merged["token"]),
                (None, &json!(1), &json!("s3cret"))
            );
        });
    }

    #[test]
    fn another_runner_brings_its_provider_along() {
        let other = update(|update| update.config = config(json!({"runner": "claude_code"})));
        demo().when(other).then_with(|_, state| {
            let config = &state.profile.as_ref().unwrap().config;
            assert_eq!((&config["runner"], &config["provider"]), (&json!("claude_code"), &json!("claude")));
        });
    }

    #[test]
    fn an_update_to_what_is_there_already_records_nothing() {
        let same = update(|update| {
            update.name = Some("Demo".into());
            update.active = Some(true);
            update.config = config(json!({"model": "m-1", "absent": null}));
        });
        demo().when(same).then_nothing();
    }

    #[test]
    fn all_faults_of_an_update_are_reported_together() {
        let wrong = update(|update| {
            update.name = Some(" ".into());
            update.quality_score = Change::Set(-1.0);
            update.config =
                config(json!({"runner": "x", "token": "[redacted]", "deep": [{"a/b": "[redacted]"}]}));
        });
        demo().when(wrong).then_rejected_with(|no| {
            let Rejection::Invalid(faults) = no else { return false };
            let pointers: Vec<&str> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
            pointers == ["/name", "/quality_score", "/config/deep/0/a~1b", "/config/token", "/config/runner"]
        });
    }

    #[test]
    fn an_agent_that_is_not_there_cannot_be_changed() {
        given::<Agent>([]).when(update(|_| {})).then_rejected(Rejection::NotFound);
    }
}
