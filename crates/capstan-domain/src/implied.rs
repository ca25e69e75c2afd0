//! Values that a commit says itself, so that its stored events leave them out.
//!
//! The subject of a commit names workspace and entity, its metadata the time, the caller and the idempotency key; and its
//! events say some things that later ones repeat. An event of Rust holds these values where its readers need them; its
//! stored form omits each that equals what the commit says, and reading puts it back. Omission goes by value: a time that
//! differs is written. Outside [`within`] nothing is omitted, which is the form that readers of the API get.

#![expect(clippy::ref_option, reason = "serde hands fields by reference")]

mod context;
mod frozen;
mod numbered;
mod origin;
mod quoted;
mod said;

use chrono::{DateTime, Utc};
use schemars::Schema;
use serde_json::{Map, Value};
use uuid::Uuid;

pub use context::{Implied, Reading, reading, within};
pub(crate) use context::{is_stored, unknown_default, within_row};
pub(crate) use frozen::*;
pub(crate) use numbered::{
    DrawnAttempt, DrawnBlocker, DrawnRun, answered_blocker, attempt, blocker, is_attempt, is_blocker, is_run,
    optional_blocker, optional_run, run,
};
pub(crate) use origin::*;
pub(crate) use quoted::{DrawnPieces, message};
pub(crate) use said::*;

use context::{implied, unsaid};

/// Time of the event, which is the time of its commit.
pub type At = DateTime<Utc>;

/// Name of the stream's workspace.
pub type OwnWorkspace = String;

/// Id of the stream's entity.
pub type Own<T> = T;

pub(crate) fn at() -> At {
    implied(|implied| Some(implied.at)).unwrap_or_else(|| unsaid(At::default()))
}

pub(crate) fn is_at(value: &At) -> bool {
    implied(|implied| Some(implied.at == *value)).unwrap_or(false)
}

pub(crate) fn workspace() -> String {
    implied(|implied| Some(implied.workspace.clone())).unwrap_or_else(|| unsaid(String::new()))
}

pub(crate) fn is_workspace(value: &str) -> bool {
    implied(|implied| Some(implied.workspace == value)).unwrap_or(false)
}

pub(crate) fn entity<T: From<Uuid>>() -> T {
    implied(|implied| implied.entity).unwrap_or_else(|| unsaid(Uuid::nil())).into()
}

pub(crate) fn is_entity<T: Copy + Into<Uuid>>(value: &T) -> bool {
    implied(|implied| implied.entity) == Some((*value).into())
}

pub(crate) fn client() -> Option<String> {
    implied(|implied| implied.client.clone())
}

pub(crate) fn is_client(value: &Option<String>) -> bool {
    if is_stored() { *value == client() } else { value.is_none() }
}

pub(crate) fn caller() -> String {
    client().unwrap_or_else(|| unsaid(String::new()))
}

pub(crate) fn is_caller(value: &str) -> bool {
    implied(|implied| Some(implied.client.as_deref() == Some(value))).unwrap_or(false)
}

pub(crate) fn empty() -> Map<String, Value> {
    if is_stored() { Map::new() } else { unsaid(Map::new()) }
}

pub(crate) fn is_empty(value: &Map<String, Value>) -> bool {
    is_stored() && value.is_empty()
}

/// Ends the description of a field that the stored form may leave out.
pub const NOT_STORED: &str = " Not stored where the commit says it.";

/// Says in the schema of a field that the stored form may leave it out; its value is then no constant. A list that is empty
/// is left out everywhere.
pub(crate) fn drawn(schema: &mut Schema) {
    if schema.get("default").is_some_and(|default| !default.is_array()) {
        schema.remove("default");
    }
    let described = schema.get("description").and_then(|text| text.as_str()).unwrap_or_default();
    let described = format!("{described}{NOT_STORED}");
    schema.insert("description".to_owned(), described.into());
}

#[cfg(test)]
pub(crate) fn fixture() -> Implied {
    Implied {
        workspace: "dev".into(),
        entity: Some(Uuid::from_u128(7)),
        at: DateTime::UNIX_EPOCH,
        client: None,
        command: "test".into(),
        key: None,
    }
}
