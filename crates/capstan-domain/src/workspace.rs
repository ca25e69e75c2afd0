//! A workspace: the tenant everything else lives in.
//!
//! Invariants: 1. a workspace is created once and keeps its name.
//!
//! ```text
//! (none) ──create──► open
//! ```

use capstan_decider::Decider;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A request to a workspace.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Opens the workspace.
    Create(Create),
}

/// Opens a workspace.
#[derive(Clone, Debug, PartialEq)]
pub struct Create {
    /// Its name in every address.
    pub workspace: String,
    /// What people call it.
    pub display_name: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// A fact about a workspace. These names and fields are stored for ever.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The workspace was opened.
    Created(Created),
}

/// The workspace was opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Created {
    /// Its name in every address.
    pub workspace: String,
    /// What people call it.
    pub display_name: String,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// Why a workspace says no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// A workspace of this name exists.
    #[error("workspace {0} already exists")]
    Exists(String),
}

/// What decisions need to know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// True from creation on.
    pub exists: bool,
}

/// Decides the commands of a workspace.
#[derive(Debug)]
pub struct Workspace;

impl Decider for Workspace {
    type Command = Command;
    type Event = Event;
    type State = State;
    type Rejection = Rejection;

    fn decide(state: &State, command: &Command) -> Result<Vec<Event>, Rejection> {
        match command {
            Command::Create(create) if state.exists => Err(Rejection::Exists(create.workspace.clone())),
            Command::Create(create) => Ok(vec![Event::Created(Created {
                workspace: create.workspace.clone(),
                display_name: create.display_name.clone(),
                created_at: create.at,
            })]),
        }
    }

    fn evolve(_: State, event: &Event) -> State {
        match event {
            Event::Created(_) => State { exists: true },
        }
    }
}

#[cfg(test)]
mod tests {
    use capstan_decider::spec::given;

    use super::*;

    fn create() -> Command {
        Command::Create(Create {
            workspace: "dev".into(),
            display_name: "Development".into(),
            at: DateTime::UNIX_EPOCH,
        })
    }

    #[test]
    fn a_workspace_is_created_once() {
        given::<Workspace>([]).when(create()).then([Event::Created(Created {
            workspace: "dev".into(),
            display_name: "Development".into(),
            created_at: DateTime::UNIX_EPOCH,
        })]);
        given::<Workspace>([]).and(create()).when(create()).then_rejected(Rejection::Exists("dev".into()));
    }
}
