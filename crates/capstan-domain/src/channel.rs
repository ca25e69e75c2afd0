//! A channel: an address outside of Capstan, from which messages come and to which they go, bound to one workspace at a time.
//!
//! The channel's stream is the same for all workspaces, in [`WORKSPACE`]: whoever binds an address meets there
//! whoever holds it.
//!
//! Invariants: 1. an address is bound to at most one workspace; 2. only its holder changes or releases a binding, however
//! inactive it is.
//!
//! ```text
//! (free) ──upsert──► bound ─┐
//!    ▲                │ ▲ upsert by the holder
//!    └──── delete ────┘ └───┘
//! ```

use capstan_decider::Decider;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::id::{AgentId, BindingId, ChannelId};
use crate::redacted::refuse_placeholders;
use crate::{Change, Fault, Faults};

mod address;

pub use address::Address;

/// The reserved workspace in which the streams of channels live.
pub const WORKSPACE: &str = "_channels";

/// A request to a channel.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Binds the channel, or changes the binding.
    Upsert(Box<Upsert>),
    /// Lets it take no messages, because its agent is gone.
    Deactivate(Deactivate),
    /// Releases it.
    Delete(Delete),
}

/// Binds a channel to a workspace, or replaces the binding.
#[derive(Clone, Debug, PartialEq)]
pub struct Upsert {
    /// The workspace that binds it.
    pub workspace: String,
    /// The address to bind.
    pub address: Address,
    /// The agent that receives messages; the workspace when absent.
    pub agent_id: Option<AgentId>,
    /// Configuration as given.
    pub config: Map<String, Value>,
    /// True when messages are accepted.
    pub active: bool,
    /// Time of the command.
    pub at: DateTime<Utc>,
}

/// Deactivates a binding, if it still is the workspace's and this agent's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deactivate {
    /// The workspace of the binding.
    pub workspace: String,
    /// The agent that is gone.
    pub agent_id: AgentId,
    /// Time of the command.
    pub at: DateTime<Utc>,
}

/// Releases a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// The workspace that releases it.
    pub workspace: String,
    /// Time of the command.
    pub at: DateTime<Utc>,
}

/// An event of a channel. These names and fields are stored permanently.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A workspace bound it.
    Bound(Bound),
    /// The binding was changed.
    Changed(Changed),
    /// The binding ended.
    Released(Released),
}

/// A workspace bound a channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Bound {
    /// The binding.
    pub binding_id: BindingId,
    /// The channel.
    pub channel_id: ChannelId,
    /// The workspace that holds it.
    pub workspace: String,
    /// The type of channel.
    pub channel_type: String,
    /// Its address.
    pub address: String,
    /// The agent that receives messages; the workspace when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<AgentId>,
    /// Its configuration.
    pub config: Map<String, Value>,
    /// True when messages are accepted.
    pub active: bool,
    /// Time of the event.
    pub bound_at: DateTime<Utc>,
}

/// A binding was changed; what is absent stayed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Changed {
    /// The binding.
    pub binding_id: BindingId,
    /// The workspace that holds it.
    pub workspace: String,
    /// The agent that receives messages now; null for the workspace.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub agent_id: Change<AgentId>,
    /// The whole configuration as it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Map<String, Value>>,
    /// True when messages are accepted now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
    /// Time of the event.
    pub changed_at: DateTime<Utc>,
}

/// A binding ended: the address is free.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Released {
    /// The binding.
    pub binding_id: BindingId,
    /// The workspace that held it.
    pub workspace: String,
    /// Time of the event.
    pub released_at: DateTime<Utc>,
}

/// The reasons a channel rejects a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Fields are not valid.
    #[error("the channel binding is not valid")]
    Invalid(Vec<Fault>),
    /// Another workspace holds the address. Its name is not revealed.
    #[error("the address is bound by another workspace")]
    Taken,
    /// The workspace has not bound this address.
    #[error("there is no such channel binding")]
    NotFound,
}

/// The state decisions need.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The binding, while there is one.
    pub binding: Option<Bound>,
}

/// Decides the commands of a channel.
#[derive(Debug)]
pub struct Channel;

impl Decider for Channel {
    type Command = Command;
    type Event = Event;
    type State = State;
    type Rejection = Rejection;

    fn decide(state: &State, command: &Command) -> Result<Vec<Event>, Rejection> {
        match (command, &state.binding) {
            (Command::Upsert(upsert), Some(held)) if held.workspace != upsert.workspace => {
                Err(Rejection::Taken)
            }
            (Command::Upsert(upsert), held) => {
                let mut faults = Faults::default();
                refuse_placeholders(&upsert.config, "/config", &mut faults);
                faults.into_result().map_err(Rejection::Invalid)?;
                Ok(match held {
                    None => vec![Event::Bound(bound(upsert))],
                    Some(held) => changed(held, upsert).map(Event::Changed).into_iter().collect(),
                })
            }
            (Command::Deactivate(deactivate), held) => {
                let is_meant = |held: &&Bound| {
                    held.workspace == deactivate.workspace
                        && held.agent_id == Some(deactivate.agent_id)
                        && held.active
                };
                let inactive = held.as_ref().filter(is_meant).map(|held| {
                    Event::Changed(Changed {
                        binding_id: held.binding_id,
                        workspace: held.workspace.clone(),
                        agent_id: Change::Keep,
                        config: None,
                        active: Some(false),
                        changed_at: deactivate.at,
                    })
                });
                Ok(inactive.into_iter().collect())
            }
            (Command::Delete(delete), Some(held)) if held.workspace == delete.workspace => {
                Ok(vec![Event::Released(Released {
                    binding_id: held.binding_id,
                    workspace: held.workspace.clone(),
                    released_at: delete.at,
                })])
            }
            // Somebody else's binding is as good as none: who asks learns nothing of it.
            (Command::Delete(_), _) => Err(Rejection::NotFound),
        }
    }

    fn evolve(mut state: State, event: &Event) -> State {
        match event {
            Event::Bound(bound) => state.binding = Some(bound.clone()),
            Event::Changed(changed) => {
                if let Some(held) = &mut state.binding {
                    changed.apply(&mut held.agent_id, &mut held.config, &mut held.active);
                }
            }
            Event::Released(_) => state.binding = None,
        }
        state
    }
}

impl Changed {
    /// Changes a binding; whoever folds the event uses this.
    pub fn apply(&self, agent_id: &mut Option<AgentId>, config: &mut Map<String, Value>, active: &mut bool) {
        self.agent_id.apply(agent_id);
        if let Some(new) = &self.config {
            config.clone_from(new);
        }
        *active = self.active.unwrap_or(*active);
    }
}

fn bound(upsert: &Upsert) -> Bound {
    let channel_id = upsert.address.channel_id();
    Bound {
        binding_id: BindingId::of_channel(&upsert.workspace, channel_id),
        channel_id,
        workspace: upsert.workspace.clone(),
        channel_type: upsert.address.channel_type().to_owned(),
        address: upsert.address.address().to_owned(),
        agent_id: upsert.agent_id,
        config: upsert.config.clone(),
        active: upsert.active,
        bound_at: upsert.at,
    }
}

/// The change to the binding, if any; the command states the whole binding.
fn changed(held: &Bound, upsert: &Upsert) -> Option<Changed> {
    let agent_id = upsert.agent_id.map_or(Change::Clear, Change::Set);
    let event = Changed {
        binding_id: held.binding_id,
        workspace: held.workspace.clone(),
        agent_id: agent_id.against(held.agent_id.as_ref()),
        config: Some(&upsert.config).filter(|config| **config != held.config).cloned(),
        active: Some(upsert.active).filter(|active| *active != held.active),
        changed_at: upsert.at,
    };
    let changes_nothing = event.agent_id.is_keep() && event.config.is_none() && event.active.is_none();
    (!changes_nothing).then_some(event)
}

#[cfg(test)]
mod tests {
    use capstan_decider::spec::given;
    use serde_json::json;

    use super::*;

    fn upsert(workspace: &str, change: impl FnOnce(&mut Upsert)) -> Command {
        let mut upsert = Upsert {
            workspace: workspace.into(),
            address: Address::new("email", "Ada@Example.org").unwrap(),
            agent_id: None,
            config: Map::new(),
            active: true,
            at: DateTime::UNIX_EPOCH,
        };
        change(&mut upsert);
        Command::Upsert(Box::new(upsert))
    }

    fn delete(workspace: &str) -> Command {
        Command::Delete(Delete { workspace: workspace.into(), at: DateTime::UNIX_EPOCH })
    }

    #[test]
    fn a_binding_of_another_workspace_is_never_taken_over() {
        let held = || given::<Channel>([]).and(upsert("dev", |_| {}));
        held().when(upsert("other", |_| {})).then_rejected(Rejection::Taken);
        held()
            .and(upsert("dev", |upsert| upsert.active = false))
            .when(upsert("other", |_| {}))
            .then_rejected(Rejection::Taken);
        held().when(delete("other")).then_rejected(Rejection::NotFound);
    }

    #[test]
    fn a_released_address_may_be_bound_by_anyone() {
        let free = given::<Channel>([]).and(upsert("dev", |_| {})).and(delete("dev"));
        free.when(upsert("other", |_| {})).then_with(|events, state| {
            let ([Event::Bound(bound)], Some(held)) = (events, &state.binding) else { panic!("{events:?}") };
            assert_eq!((bound.workspace.as_str(), bound.address.as_str()), ("other", "ada@example.org"));
            assert_ne!(held.binding_id, BindingId::of_channel("dev", held.channel_id));
        });
        given::<Channel>([]).when(delete("dev")).then_rejected(Rejection::NotFound);
    }

    #[test]
    fn the_holder_replaces_the_binding() {
        let agent_id = AgentId::of_key("dev", "demo");
        let first = upsert("dev", |upsert| upsert.agent_id = Some(agent_id));
        let second = upsert("dev", |upsert| {
            upsert.config = json!({"signature": "A."}).as_object().cloned().unwrap();
        });
        given::<Channel>([]).and(first).when(second).then_with(|events, state| {
            let [Event::Changed(changed)] = events else { panic!("{events:?}") };
            assert_eq!((changed.agent_id, changed.active), (Change::Clear, None));
            let held = state.binding.as_ref().unwrap();
            assert_eq!((held.agent_id, held.config["signature"].as_str()), (None, Some("A.")));
        });
        given::<Channel>([]).and(upsert("dev", |_| {})).when(upsert("dev", |_| {})).then_nothing();
    }

    #[test]
    fn a_binding_is_deactivated_only_for_its_own_agent() {
        let demo = AgentId::of_key("dev", "demo");
        let deactivate = |workspace: &str, agent_id| {
            let (workspace, at) = (workspace.to_owned(), DateTime::UNIX_EPOCH);
            Command::Deactivate(Deactivate { workspace, agent_id, at })
        };
        let held = || given::<Channel>([]).and(upsert("dev", |upsert| upsert.agent_id = Some(demo)));
        held().when(deactivate("dev", demo)).then_with(|_, state| {
            assert!(!state.binding.as_ref().unwrap().active);
        });
        held().when(deactivate("other", demo)).then_nothing();
        held().when(deactivate("dev", AgentId::of_key("dev", "x"))).then_nothing();
        held().and(deactivate("dev", demo)).when(deactivate("dev", demo)).then_nothing();
    }

    #[test]
    fn a_placeholder_of_a_secret_is_refused_as_a_value() {
        let command = upsert("dev", |upsert| {
            upsert.config = json!({"token": "[REDACTED]"}).as_object().cloned().unwrap();
        });
        given::<Channel>([]).when(command).then_rejected_with(
            |no| matches!(no, Rejection::Invalid(faults) if faults[0].pointer == "/config/token"),
        );
    }
}
