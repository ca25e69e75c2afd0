//! A workspace: the tenant everything else lives in.
//!
//! Invariants: 1. a workspace is created once and keeps its name; 2. names that begin with `_` belong to the system;
//! 3. settings hold no secret ([`tool`]).
//!
//! ```text
//! (none) ──create──► open ─┐
//!                     ▲  update
//!                     └────┘
//! ```

use capstan_decider::Decider;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::implied::{At, OwnWorkspace};
use crate::text::non_blank;
use crate::{Fault, Faults, Requested};

pub mod settings;
pub mod tool;
mod update;

pub use settings::Settings;
pub use update::{QuotaChanges, SettingsChanges, UpdateWorkspace, Updated};

/// Prefix of reserved workspaces: streams of the system are there, and no caller can create or enter them.
pub const RESERVED_PREFIX: char = '_';

/// The longest name people call a workspace by, in bytes.
const DISPLAY_NAME_BYTES_MAX: usize = 256;

/// A request to a workspace.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Opens the workspace.
    Create(CreateWorkspace),
    /// Changes it.
    Update {
        /// Its name in every address.
        workspace: String,
        /// The changes.
        update: Box<UpdateWorkspace>,
    },
}

/// Opens a workspace.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreateWorkspace {
    /// Its name in every address: 1 to 128 of A-Z a-z 0-9 _ -.
    pub workspace: String,
    /// Display name; the name when absent.
    pub display_name: Option<String>,
}

/// An event of a workspace. These names and fields are stored permanently.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The workspace was opened.
    Created(Created),
    /// The workspace was changed.
    Updated(Box<Updated>),
}

stored! {
/// The workspace was opened.
#[derive(Eq)]
pub struct Created {
    /// Its name in every address.
    pub workspace: OwnWorkspace,
    /// Its display name.
    pub display_name: String,
    /// Time of the event.
    pub created_at: At,
}
}

/// The reasons a workspace rejects a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Fields are not valid.
    #[error("the workspace is not valid")]
    Invalid(Vec<Fault>),
    /// There is no such workspace.
    #[error("there is no such workspace")]
    NotFound,
    /// A workspace of this name exists.
    #[error("workspace {0} already exists")]
    Exists(String),
}

/// The state decisions need.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// True from creation on.
    pub exists: bool,
    /// Present from creation on.
    #[serde(default)]
    pub details: Option<Details>,
}

/// The settings of a workspace, with its name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Details {
    /// Its display name.
    pub display_name: String,
    /// Its settings.
    pub settings: Settings,
}

impl State {
    /// The settings, from creation on.
    pub fn settings(&self) -> Option<&Settings> {
        self.details.as_ref().map(|details| &details.settings)
    }
}

/// Decides the commands of a workspace.
#[derive(Debug)]
pub struct Workspace;

impl Decider for Workspace {
    type Command = Requested<Command>;
    type Event = Event;
    type State = State;
    type Rejection = Rejection;

    fn decide(
        state: &State,
        Requested { command, at }: &Requested<Command>,
    ) -> Result<Vec<Event>, Rejection> {
        match (command, &state.details) {
            (Command::Create(create), _) if state.exists => Err(Rejection::Exists(create.workspace.clone())),
            (Command::Create(create), _) => {
                created(create, *at).map(|event| vec![Event::Created(event)]).map_err(Rejection::Invalid)
            }
            (Command::Update { .. }, None) => Err(Rejection::NotFound),
            (Command::Update { workspace, update }, Some(details)) => {
                update::updated(details, workspace, update, *at)
                    .map(|event| event.map(|event| Event::Updated(Box::new(event))).into_iter().collect())
                    .map_err(Rejection::Invalid)
            }
        }
    }

    fn evolve(mut state: State, event: &Event) -> State {
        match event {
            Event::Created(created) => {
                state.exists = true;
                let display_name = created.display_name.clone();
                state.details = Some(Details { display_name, settings: Settings::default() });
            }
            Event::Updated(updated) => {
                if let Some(Details { display_name, settings }) = &mut state.details {
                    updated.apply(display_name, settings);
                }
            }
        }
        state
    }
}

fn created(create: &CreateWorkspace, at: DateTime<Utc>) -> Result<Created, Vec<Fault>> {
    let mut faults = Faults::default();
    let is_reserved = create.workspace.starts_with(RESERVED_PREFIX);
    faults.require(!is_reserved, "/workspace", "names that begin with '_' are reserved");
    let display_name = non_blank(create.display_name.as_deref()).unwrap_or_else(|| create.workspace.clone());
    check_display_name(&display_name, &mut faults);
    faults.into_result()?;
    Ok(Created { workspace: create.workspace.clone(), display_name, created_at: at })
}

fn check_display_name(name: &str, faults: &mut Faults) {
    faults.require(!name.trim().is_empty(), "/display_name", "display_name cannot be empty");
    faults.require(
        name.len() <= DISPLAY_NAME_BYTES_MAX,
        "/display_name",
        format_args!("display_name must be at most {DISPLAY_NAME_BYTES_MAX} bytes long"),
    );
}

#[cfg(test)]
mod tests {
    use capstan_decider::spec::given;

    use super::*;

    fn create(workspace: &str, display_name: Option<&str>) -> Requested<Command> {
        let (workspace, display_name) = (workspace.to_owned(), display_name.map(str::to_owned));
        let create = CreateWorkspace { workspace, display_name };
        Requested::new(Command::Create(create), DateTime::UNIX_EPOCH)
    }

    #[test]
    fn a_workspace_is_created_once() {
        let create = || create("dev", Some(" Development "));
        given::<Workspace>([]).when(create()).then([Event::Created(Created {
            workspace: "dev".into(),
            display_name: "Development".into(),
            created_at: DateTime::UNIX_EPOCH,
        })]);
        given::<Workspace>([]).and(create()).when(create()).then_rejected(Rejection::Exists("dev".into()));
    }

    #[test]
    fn a_workspace_without_a_display_name_is_called_by_its_name() {
        for display_name in [None, Some(" ")] {
            given::<Workspace>([]).when(create("dev", display_name)).then_with(|_, state| {
                assert_eq!(state.details.as_ref().unwrap().display_name, "dev");
            });
        }
    }

    #[test]
    fn names_of_the_system_are_refused() {
        given::<Workspace>([]).when(create("_channels", None)).then_rejected_with(
            |no| matches!(no, Rejection::Invalid(faults) if faults[0].pointer == "/workspace"),
        );
    }
}
