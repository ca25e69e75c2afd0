//! An agent: the configuration that does the work, under a stable key.
//!
//! Invariants: 1. a key names one agent permanently (the id is derived from it); 2. a stored configuration names a
//! supported runner and its provider; 3. a key fits into a path as it is; 4. an agent with open tasks is not deleted.
//!
//! ```text
//! (none) ──create──► active ◄──update──► inactive
//!    ▲                  └──────delete──────┘
//!    └─────────────────────────┘
//! ```
//!
//! A deleted agent is not found, and its key may be used again, which continues the same stream under the same id.

use capstan_decider::Decider;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::finite::{self, AMOUNT_MAX};
use crate::id::AgentId;
use crate::implied::{self, At, Own, OwnWorkspace};
use crate::limits::{self, NAME_BYTES_MAX};
use crate::redaction::refuse_placeholders;
use crate::text::non_blank;
use crate::{Fault, Faults, Requested};

#[cfg(test)]
pub(crate) mod fixture;
mod for_task;
pub mod lookup;
mod update;

pub use self::for_task::{AgentForTask, TaskSettings, config_from};
pub use crate::agent_config::AgentConfig;
pub use update::{Fields, UpdateAgent, Updated};

/// The longest key an agent may have.
pub const AGENT_KEY_BYTES_MAX: usize = 128;

/// Keys that would mean something else in a path.
const RESERVED_KEYS: [&str; 3] = [".", "..", "defaults"];

/// The default role of an agent.
const ROLE_DEFAULT: &str = "generalist";
/// The default scope of an agent's memory.
const MEMORY_SCOPE_DEFAULT: &str = "workspace";

/// A request to an agent.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Introduces the agent.
    Create {
        /// Its workspace.
        workspace: String,
        /// The agent.
        agent: Box<CreateAgent>,
    },
    /// Changes it.
    Update(Box<UpdateAgent>),
    /// Deletes it.
    Delete {
        /// Number of its open tasks the caller can see.
        open_tasks: u64,
    },
}

/// Creates an agent.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CreateAgent {
    /// Stable handle, unique in the workspace.
    pub agent_key: String,
    /// Display name.
    pub name: String,
    /// Role of the agent; `generalist` when absent.
    pub role: Option<String>,
    /// Scope of the agent's memory; `workspace` when absent.
    pub memory_scope: Option<String>,
    /// A judgement that surfaces in stats.
    #[schemars(range(min = 0.0, max = AMOUNT_MAX))]
    pub quality_score: Option<f64>,
    /// Limit of what the agent may cost, in US dollars.
    #[schemars(range(min = 0.0, max = AMOUNT_MAX))]
    pub cost_budget_usd: Option<f64>,
    /// Configuration; unknown keys are kept.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub config: Map<String, Value>,
    /// True if the agent accepts commands; true when absent.
    pub active: Option<bool>,
}

/// Deletes an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeleteAgent {
    /// Id or key of the agent.
    pub agent_id: String,
    /// Cancels its open tasks first; without it an agent with open tasks is not deleted.
    #[serde(default)]
    pub cancel_open: bool,
}

/// An event of an agent. These names and fields are stored permanently.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The agent was introduced.
    Created(Created),
    /// The agent was changed.
    Updated(Updated),
    /// The agent was deleted.
    Deleted(Deleted),
}

stored! {
/// The agent was deleted.
#[derive(Eq)]
pub struct Deleted {
    /// The agent.
    pub agent_id: Own<AgentId>,
    /// Time of the event.
    pub deleted_at: At,
}
}

stored! {
/// The agent was introduced.
pub struct Created {
    /// The agent.
    pub agent_id: Own<AgentId>,
    /// Its workspace.
    pub workspace: OwnWorkspace,
    /// Stable handle.
    pub agent_key: String,
    /// Display name.
    pub name: String,
    /// Its role.
    #[serde(default = "implied::agent_role", skip_serializing_if = "implied::is_agent_role")]
    #[schemars(transform = implied::drawn)]
    pub role: String,
    /// The scope of its memory.
    #[serde(default = "implied::memory_scope", skip_serializing_if = "implied::is_memory_scope")]
    #[schemars(transform = implied::drawn)]
    pub memory_scope: String,
    /// A judgement that surfaces in stats.
    #[serde(serialize_with = "finite::serialize_option")]
    pub quality_score: Option<f64>,
    /// Limit of what the agent may cost, in US dollars.
    #[serde(serialize_with = "finite::serialize_option")]
    pub cost_budget_usd: Option<f64>,
    /// Normalised configuration; unknown keys are kept.
    pub config: Map<String, Value>,
    /// True when it takes commands.
    #[serde(default = "implied::active", skip_serializing_if = "implied::is_active")]
    #[schemars(transform = implied::drawn)]
    pub active: bool,
    /// Time of the event.
    pub created_at: At,
}
}

/// The reasons an agent rejects a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Fields are not valid.
    #[error("the agent is not valid")]
    Invalid(Vec<Fault>),
    /// An agent of this key exists.
    #[error("agent {0} already exists")]
    Exists(String),
    /// There is no such agent, or none any more.
    #[error("there is no such agent")]
    NotFound,
    /// Some of its tasks are not over.
    #[error("the agent has open tasks: {0}")]
    HasOpenTasks(u64),
}

/// The agent as created and changed: for its decisions, and for commands to its tasks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Present from creation to deletion.
    pub profile: Option<Created>,
    /// Number of its configuration among those it had, from 1; numbers go on after a deletion. The stream keeps every
    /// configuration, so that a task names the one it was accepted with.
    pub config_version: u64,
}

/// Decides the commands of an agent.
#[derive(Debug)]
pub struct Agent;

impl Decider for Agent {
    type Command = Requested<Command>;
    type Event = Event;
    type State = State;
    type Rejection = Rejection;

    fn decide(
        state: &State,
        Requested { command, at }: &Requested<Command>,
    ) -> Result<Vec<Event>, Rejection> {
        match (command, &state.profile) {
            (Command::Create { agent, .. }, Some(_)) => Err(Rejection::Exists(agent.agent_key.clone())),
            (Command::Create { workspace, agent }, None) => created(workspace, agent, *at)
                .map(|event| vec![Event::Created(event)])
                .map_err(Rejection::Invalid),
            (Command::Update(_) | Command::Delete { .. }, None) => Err(Rejection::NotFound),
            (Command::Update(update), Some(profile)) => update::updated(profile, update, *at)
                .map(|event| event.map(Event::Updated).into_iter().collect())
                .map_err(Rejection::Invalid),
            (Command::Delete { open_tasks }, Some(_)) if *open_tasks > 0 => {
                Err(Rejection::HasOpenTasks(*open_tasks))
            }
            (Command::Delete { .. }, Some(profile)) => {
                Ok(vec![Event::Deleted(Deleted { agent_id: profile.agent_id, deleted_at: *at })])
            }
        }
    }

    fn evolve(mut state: State, event: &Event) -> State {
        match event {
            Event::Created(created) => {
                state.config_version += 1;
                state.profile = Some(created.clone());
            }
            Event::Updated(updated) => {
                if let Some(profile) = &mut state.profile {
                    if AgentConfig::is_changed(&profile.config, &updated.config) {
                        state.config_version += 1;
                    }
                    updated.apply(profile.fields());
                }
            }
            Event::Deleted(_) => state.profile = None,
        }
        state
    }
}

fn created(workspace: &str, create: &CreateAgent, at: DateTime<Utc>) -> Result<Created, Vec<Fault>> {
    let mut faults = Faults::default();
    let agent_key = create.agent_key.trim();
    check_key(agent_key, &mut faults);
    let name = faults.required("/name", &create.name);
    check_words(Some(name), create.role.as_deref(), create.memory_scope.as_deref(), &mut faults);
    check_amounts(create.quality_score, create.cost_budget_usd, &mut faults);
    refuse_placeholders(&create.config, "/config", &mut faults);
    let config = AgentConfig::normalised(&create.config, agent_key, &mut faults);
    faults.into_result()?;
    Ok(Created {
        role: or_default(create.role.as_deref(), ROLE_DEFAULT),
        memory_scope: or_default(create.memory_scope.as_deref(), MEMORY_SCOPE_DEFAULT),
        quality_score: create.quality_score,
        cost_budget_usd: create.cost_budget_usd,
        config,
        active: create.active.unwrap_or(true),
        ..Created::named(workspace, agent_key, name, at)
    })
}

impl Created {
    /// An agent with defaults for everything but key and name.
    pub fn named(workspace: &str, agent_key: &str, name: &str, at: DateTime<Utc>) -> Self {
        Self {
            agent_id: AgentId::from_key(workspace, agent_key),
            workspace: workspace.to_owned(),
            agent_key: agent_key.to_owned(),
            name: name.to_owned(),
            role: ROLE_DEFAULT.to_owned(),
            memory_scope: MEMORY_SCOPE_DEFAULT.to_owned(),
            quality_score: None,
            cost_budget_usd: None,
            config: Map::new(),
            active: true,
            created_at: at,
        }
    }

    fn fields(&mut self) -> Fields<'_> {
        Fields {
            name: &mut self.name,
            role: &mut self.role,
            memory_scope: &mut self.memory_scope,
            quality_score: &mut self.quality_score,
            cost_budget_usd: &mut self.cost_budget_usd,
            config: &mut self.config,
            active: &mut self.active,
        }
    }
}

fn check_amounts(quality_score: Option<f64>, cost_budget_usd: Option<f64>, faults: &mut Faults) {
    faults.amount("/quality_score", quality_score);
    faults.amount("/cost_budget_usd", cost_budget_usd);
}

fn check_words(name: Option<&str>, role: Option<&str>, memory_scope: Option<&str>, faults: &mut Faults) {
    for (pointer, text) in [("/name", name), ("/role", role), ("/memory_scope", memory_scope)] {
        limits::check(pointer, text, NAME_BYTES_MAX, faults);
    }
}

/// Checks that a key can be a segment of a path: callers address the agent by it.
fn check_key(key: &str, faults: &mut Faults) {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if key.is_empty() {
        faults.add("/agent_key", "agent_key is required");
    } else if key.len() > AGENT_KEY_BYTES_MAX {
        faults.add("/agent_key", format!("agent_key must be at most {AGENT_KEY_BYTES_MAX} characters long"));
    } else if !key.bytes().all(fits) {
        faults.add("/agent_key", "agent_key may use letters, digits, '.', '_' and '-'");
    } else if RESERVED_KEYS.contains(&key) {
        faults.add("/agent_key", "agent_key must not be '.', '..' or 'defaults'");
    }
}

fn or_default(given: Option<&str>, default: &str) -> String {
    non_blank(given).unwrap_or_else(|| default.to_owned())
}

#[cfg(test)]
mod tests {
    use capstan_decider::spec::given;

    use super::fixture::{create, create_with};
    use super::*;

    #[test]
    fn names_and_words_of_an_agent_have_limits() {
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        let tools = serde_json::json!({ "model": long, "pool": long, "allowed_tools": [long] });
        let create = create_with("demo", &long, tools, |create| {
            create.role = Some(long.clone());
            create.memory_scope = Some(long.clone());
        });
        let pointers =
            ["/name", "/role", "/memory_scope", "/config/model", "/config/pool", "/config/allowed_tools"];
        given::<Agent>([]).when(create).then_rejected_with(|no| {
            let Rejection::Invalid(faults) = no else { return false };
            assert_eq!(faults.iter().map(|fault| fault.pointer.as_str()).collect::<Vec<_>>(), pointers);
            true
        });
    }

    fn delete(open_tasks: u64) -> Requested<Command> {
        Requested::new(Command::Delete { open_tasks }, DateTime::UNIX_EPOCH)
    }

    #[test]
    fn an_agent_is_created_with_defaults() {
        given::<Agent>([]).when(create("demo", " Demo ", serde_json::json!({}))).then_with(
            |events, state| {
                assert_eq!(events.len(), 1);
                let profile = state.profile.as_ref().unwrap();
                assert_eq!((profile.name.as_str(), profile.role.as_str()), ("Demo", "generalist"));
                assert_eq!(profile.config["runner"], "claude_code");
                assert_eq!(profile.config["workspace_dir"], "/workspace/agents/demo");
            },
        );
    }

    #[test]
    fn all_faults_are_reported_together() {
        given::<Agent>([]).when(create(" ", "", serde_json::json!({"runner": "x"}))).then_rejected_with(
            |rejection| matches!(rejection, Rejection::Invalid(faults) if faults.len() == 3),
        );
    }

    #[test]
    fn a_key_that_does_not_fit_into_a_path_is_refused() {
        let long = "x".repeat(AGENT_KEY_BYTES_MAX + 1);
        for key in ["a b", "a/b", "a\0", "a\nb", "ä", "a%20", ".", "..", "defaults", &long] {
            let refused = given::<Agent>([]).when(create(key, "Demo", serde_json::json!({})));
            refused.then_rejected_with(
                |no| matches!(no, Rejection::Invalid(faults) if faults[0].pointer == "/agent_key"),
            );
        }
        for key in ["a", "A-z_0.9", "...", &long[1..]] {
            given::<Agent>([])
                .when(create(key, "Demo", serde_json::json!({})))
                .then_with(|_, state| assert_eq!(state.profile.as_ref().unwrap().agent_key, key));
        }
    }

    #[test]
    fn an_absurd_score_or_budget_is_refused() {
        for number in [-0.1, 1.1e12, f64::INFINITY, f64::NAN] {
            let command = create_with("demo", "Demo", serde_json::json!({}), |agent| {
                (agent.quality_score, agent.cost_budget_usd) = (Some(number), Some(number));
            });
            given::<Agent>([])
                .when(command)
                .then_rejected_with(|no| matches!(no, Rejection::Invalid(faults) if faults.len() == 2));
        }
    }

    #[test]
    fn the_same_key_twice_is_refused() {
        given::<Agent>([])
            .and(create("demo", "Demo", serde_json::json!({})))
            .when(create("demo", "Other", serde_json::json!({})))
            .then_rejected(Rejection::Exists("demo".into()));
    }

    #[test]
    fn an_agent_with_open_tasks_is_not_deleted() {
        let demo = || given::<Agent>([]).and(create("demo", "Demo", serde_json::json!({})));
        demo().when(delete(2)).then_rejected(Rejection::HasOpenTasks(2));
        demo().when(delete(0)).then([Event::Deleted(Deleted {
            agent_id: AgentId::from_key("dev", "demo"),
            deleted_at: DateTime::UNIX_EPOCH,
        })]);
        demo().and(delete(0)).when(delete(0)).then_rejected(Rejection::NotFound);
    }

    #[test]
    fn the_key_of_a_deleted_agent_may_be_given_again() {
        let again = create("demo", "Second life", serde_json::json!({}));
        given::<Agent>([])
            .and(create("demo", "Demo", serde_json::json!({})))
            .and(delete(0))
            .when(again)
            .then_with(|_, state| {
                let profile = state.profile.as_ref().unwrap();
                assert_eq!(
                    (profile.agent_id, profile.name.as_str()),
                    (AgentId::from_key("dev", "demo"), "Second life")
                );
            });
    }
}
