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
use crate::implied::{self, At, Own};
use crate::limits::{self, CHANNEL_CONFIG_BYTES_MAX};
use crate::redaction::refuse_placeholders;
use crate::{Change, Fault, Faults, Requested};

mod address;

pub use address::Address;

/// The reserved workspace in which the streams of channels live.
pub const WORKSPACE: &str = "_channels";

/// A request to a channel.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Binds the channel, or changes the binding.
    Upsert {
        /// The workspace that binds it.
        workspace: String,
        /// The agent the binding names.
        agent_id: Option<AgentId>,
        /// The binding.
        binding: Box<UpsertChannelBinding>,
    },
    /// Lets it take no messages because its agent is gone, if it still is bound to the workspace and to this agent.
    Deactivate {
        /// The workspace of the binding.
        workspace: String,
        /// The agent that is gone.
        agent_id: AgentId,
    },
    /// Releases it.
    Delete {
        /// The workspace that releases it.
        workspace: String,
    },
}

/// Binds a channel to the workspace, or replaces its binding.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UpsertChannelBinding {
    /// Kind of channel, for example `email`.
    pub channel_type: String,
    /// Address of the channel.
    pub address: String,
    /// Id or key of the agent that receives messages; the workspace when absent.
    pub agent_id: Option<String>,
    /// Configuration; all of it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub config: Map<String, Value>,
    /// False stops the delivery of messages; true when absent.
    pub active: Option<bool>,
}

/// Releases a channel: any workspace may bind it then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeleteChannelBinding {
    /// Kind of channel, for example `email`.
    pub channel_type: String,
    /// Address of the channel.
    pub address: String,
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

stored! {
/// A workspace bound a channel.
pub struct Bound {
    /// The workspace that holds it.
    #[serde(with = "implied::tenant")]
    #[schemars(with = "String")]
    pub workspace: String,
    /// The binding.
    #[serde(default = "implied::binding", skip_serializing_if = "implied::is_binding")]
    #[schemars(transform = implied::drawn)]
    pub binding_id: BindingId,
    /// The channel.
    pub channel_id: Own<ChannelId>,
    /// The type of channel.
    pub channel_type: String,
    /// Its address.
    pub address: String,
    /// The agent that receives messages; the workspace when absent.
    pub agent_id: Option<AgentId>,
    /// Its configuration.
    pub config: Map<String, Value>,
    /// True when messages are accepted.
    pub active: bool,
    /// Time of the event.
    pub bound_at: At,
}
}

stored! {
/// A binding was changed; what is absent stayed.
pub struct Changed {
    /// The workspace that holds it.
    #[serde(with = "implied::tenant")]
    #[schemars(with = "String")]
    pub workspace: String,
    /// The binding.
    #[serde(default = "implied::binding", skip_serializing_if = "implied::is_binding")]
    #[schemars(transform = implied::drawn)]
    pub binding_id: BindingId,
    /// The agent that receives messages now; null for the workspace.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub agent_id: Change<AgentId>,
    /// The whole configuration as it is now.
    pub config: Option<Map<String, Value>>,
    /// True when messages are accepted now.
    pub active: Option<bool>,
    /// Time of the event.
    pub changed_at: At,
}
}

stored! {
/// A binding ended: the address is free.
#[derive(Eq)]
pub struct Released {
    /// The workspace that held it.
    #[serde(with = "implied::tenant")]
    #[schemars(with = "String")]
    pub workspace: String,
    /// The binding.
    #[serde(default = "implied::binding", skip_serializing_if = "implied::is_binding")]
    #[schemars(transform = implied::drawn)]
    pub binding_id: BindingId,
    /// Time of the event.
    pub released_at: At,
}
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
    type Command = Requested<Command>;
    type Event = Event;
    type State = State;
    type Rejection = Rejection;

    fn decide(
        state: &State,
        Requested { command, at }: &Requested<Command>,
    ) -> Result<Vec<Event>, Rejection> {
        let held = state.binding.as_ref();
        match command {
            Command::Upsert { workspace, .. } if held.is_some_and(|held| held.workspace != *workspace) => {
                Err(Rejection::Taken)
            }
            Command::Upsert { workspace, agent_id, binding } => {
                let bound = bound(workspace, *agent_id, binding, *at).map_err(Rejection::Invalid)?;
                Ok(match held {
                    None => vec![Event::Bound(bound)],
                    Some(held) => changed(held, bound).map(Event::Changed).into_iter().collect(),
                })
            }
            Command::Deactivate { workspace, agent_id } => {
                let is_meant = |held: &&Bound| {
                    held.workspace == *workspace && held.agent_id == Some(*agent_id) && held.active
                };
                let inactive =
                    |held: &Bound| changed(held, Bound { active: false, bound_at: *at, ..held.clone() });
                Ok(held.filter(is_meant).and_then(inactive).map(Event::Changed).into_iter().collect())
            }
            Command::Delete { workspace } => {
                // Somebody else's binding is as good as none: who asks learns nothing of it.
                let held = held.filter(|held| held.workspace == *workspace).ok_or(Rejection::NotFound)?;
                Ok(vec![Event::Released(Released {
                    binding_id: held.binding_id,
                    workspace: held.workspace.clone(),
                    released_at: *at,
                })])
            }
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

/// The binding a command states, whole.
fn bound(
    workspace: &str,
    agent_id: Option<AgentId>,
    binding: &UpsertChannelBinding,
    at: DateTime<Utc>,
) -> Result<Bound, Vec<Fault>> {
    let mut faults = Faults::default();
    limits::check_json("/config", &binding.config, CHANNEL_CONFIG_BYTES_MAX, &mut faults);
    refuse_placeholders(&binding.config, "/config", &mut faults);
    let address = faults.valid(Address::new(&binding.channel_type, &binding.address));
    faults.into_result()?;
    let address = address.unwrap_or_else(|| unreachable!("an address without faults"));
    let channel_id = address.channel_id();
    Ok(Bound {
        binding_id: BindingId::for_channel(workspace, channel_id),
        channel_id,
        workspace: workspace.to_owned(),
        channel_type: address.channel_type().to_owned(),
        address: address.address().to_owned(),
        agent_id,
        config: binding.config.clone(),
        active: binding.active.unwrap_or(true),
        bound_at: at,
    })
}

/// The change from the binding held to this one, if any.
fn changed(held: &Bound, new: Bound) -> Option<Changed> {
    let agent_id = new.agent_id.map_or(Change::Clear, Change::Set);
    let event = Changed {
        binding_id: held.binding_id,
        workspace: new.workspace,
        agent_id: agent_id.against(held.agent_id.as_ref()),
        config: Some(new.config).filter(|config| *config != held.config),
        active: Some(new.active).filter(|active| *active != held.active),
        changed_at: new.bound_at,
    };
    let changes_nothing = event.agent_id.is_keep() && event.config.is_none() && event.active.is_none();
    (!changes_nothing).then_some(event)
}

#[cfg(test)]
mod tests {
    use capstan_decider::spec::given;
    use serde_json::json;

    use super::*;

    fn by(command: Command) -> Requested<Command> {
        Requested::new(command, DateTime::UNIX_EPOCH)
    }

    fn upsert(
        workspace: &str,
        agent_id: Option<AgentId>,
        change: impl FnOnce(&mut UpsertChannelBinding),
    ) -> Requested<Command> {
        let mut binding = Box::new(UpsertChannelBinding {
            channel_type: " Email ".into(),
            address: "Ada@Example.org".into(),
            ..UpsertChannelBinding::default()
        });
        change(&mut binding);
        by(Command::Upsert { workspace: workspace.into(), agent_id, binding })
    }

    fn delete(workspace: &str) -> Requested<Command> {
        by(Command::Delete { workspace: workspace.into() })
    }

    #[test]
    fn a_binding_of_another_workspace_is_never_taken_over() {
        let held = || given::<Channel>([]).and(upsert("dev", None, |_| {}));
        held().when(upsert("other", None, |_| {})).then_rejected(Rejection::Taken);
        held()
            .and(upsert("dev", None, |binding| binding.active = Some(false)))
            .when(upsert("other", None, |_| {}))
            .then_rejected(Rejection::Taken);
        held().when(delete("other")).then_rejected(Rejection::NotFound);
    }

    #[test]
    fn a_released_address_may_be_bound_by_anyone() {
        let free = given::<Channel>([]).and(upsert("dev", None, |_| {})).and(delete("dev"));
        free.when(upsert("other", None, |_| {})).then_with(|events, state| {
            let ([Event::Bound(bound)], Some(held)) = (events, &state.binding) else { panic!("{events:?}") };
            assert_eq!((bound.workspace.as_str(), bound.address.as_str()), ("other", "ada@example.org"));
            assert_ne!(held.binding_id, BindingId::for_channel("dev", held.channel_id));
        });
        given::<Channel>([]).when(delete("dev")).then_rejected(Rejection::NotFound);
    }

    #[test]
    fn the_holder_replaces_the_binding() {
        let agent_id = AgentId::from_key("dev", "demo");
        let first = upsert("dev", Some(agent_id), |_| {});
        let second = upsert("dev", None, |binding| {
            binding.config = json!({"signature": "A."}).as_object().cloned().unwrap();
        });
        given::<Channel>([]).and(first).when(second).then_with(|events, state| {
            let [Event::Changed(changed)] = events else { panic!("{events:?}") };
            assert_eq!((changed.agent_id, changed.active), (Change::Clear, None));
            let held = state.binding.as_ref().unwrap();
            assert_eq!((held.agent_id, held.config["signature"].as_str()), (None, Some("A.")));
        });
        given::<Channel>([])
            .and(upsert("dev", None, |_| {}))
            .when(upsert("dev", None, |_| {}))
            .then_nothing();
    }

    #[test]
    fn a_binding_is_deactivated_only_for_its_own_agent() {
        let demo = AgentId::from_key("dev", "demo");
        let deactivate =
            |workspace: &str, agent_id| by(Command::Deactivate { workspace: workspace.into(), agent_id });
        let held = || given::<Channel>([]).and(upsert("dev", Some(demo), |_| {}));
        held().when(deactivate("dev", demo)).then_with(|_, state| {
            assert!(!state.binding.as_ref().unwrap().active);
        });
        held().when(deactivate("other", demo)).then_nothing();
        held().when(deactivate("dev", AgentId::from_key("dev", "x"))).then_nothing();
        held().and(deactivate("dev", demo)).when(deactivate("dev", demo)).then_nothing();
    }

    #[test]
    fn a_placeholder_of_a_secret_is_refused_as_a_value() {
        let command = upsert("dev", None, |binding| {
            binding.config = json!({"token": "[redacted]"}).as_object().cloned().unwrap();
        });
        given::<Channel>([]).when(command).then_rejected_with(
            |no| matches!(no, Rejection::Invalid(faults) if faults[0].pointer == "/config/token"),
        );
    }

    #[test]
    fn an_address_that_cannot_be_bound_is_refused() {
        let command = upsert("dev", None, |binding| binding.address = " ".into());
        given::<Channel>([]).when(command).then_rejected_with(
            |no| matches!(no, Rejection::Invalid(faults) if faults[0].pointer == "/address"),
        );
    }
}
