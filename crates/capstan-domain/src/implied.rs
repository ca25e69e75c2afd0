//! Values that a commit says itself, so that its stored events leave them out.
//!
//! The subject of a commit names workspace and entity, its metadata the time and the caller. An event of Rust holds these
//! values where its readers need them; its stored form omits each that equals what the commit says, and reading puts it
//! back. Omission goes by value: a time that differs is written. Outside [`within`] nothing is omitted, which is the form
//! that readers of the API get.
//!
//! serde hands no context to the functions of a field, so the context of the commit at hand stands in a variable of
//! the thread. [`within`] alone sets it, around one call.

#![expect(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "serde hands fields by reference")]

use std::cell::RefCell;

use chrono::{DateTime, Utc};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::id::{AttemptId, RunId, TaskId};
use crate::task::event::Priority;

/// Runs whose ids stand as numbers; those of later runs are written out, which bounds the search.
const NUMBERED_RUNS_MAX: u32 = 8;
/// The longest time of an attempt where a stored acceptance names none, in milliseconds. Part of the stored format: it never
/// changes, whatever the default of new commands becomes.
const TIMEOUT_MS: i64 = 600_000;
/// The same of a lease.
const LEASE_MS: i64 = 30_000;

/// What a commit says besides its events.
#[derive(Clone, Debug)]
pub struct Implied {
    /// Workspace of the stream.
    pub workspace: String,
    /// Id of the entity, where it is a UUID.
    pub entity: Option<Uuid>,
    /// Time of the decision.
    pub at: DateTime<Utc>,
    /// Name of the caller; absent for workers, the engine and Capstan itself.
    pub client: Option<String>,
}

struct Current {
    implied: Implied,
    /// The message of an acceptance earlier in the commit.
    message: Option<String>,
    /// Exit code and error of an attempt that ended earlier in the commit.
    exit_code: Option<i32>,
    error: Option<String>,
}

thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
}

/// Reads or writes stored events of one commit.
pub fn within<T>(implied: Implied, read_or_write: impl FnOnce() -> T) -> T {
    struct Restore(Option<Current>);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.set(self.0.take());
        }
    }
    let _before =
        Restore(CURRENT.replace(Some(Current { implied, message: None, exit_code: None, error: None })));
    read_or_write()
}

fn current<T>(value: impl FnOnce(&Current) -> Option<T>) -> Option<T> {
    CURRENT.with_borrow(|current| current.as_ref().and_then(value))
}

pub(crate) fn is_stored() -> bool {
    CURRENT.with_borrow(Option::is_some)
}

/// Time of the event, which is the time of its commit.
pub type At = DateTime<Utc>;

pub(crate) fn at() -> At {
    current(|current| Some(current.implied.at)).unwrap_or_default()
}

pub(crate) fn is_at(value: &At) -> bool {
    current(|current| Some(current.implied.at == *value)).unwrap_or(false)
}

pub(crate) fn workspace() -> String {
    current(|current| Some(current.implied.workspace.clone())).unwrap_or_default()
}

pub(crate) fn is_workspace(value: &str) -> bool {
    current(|current| Some(current.implied.workspace == value)).unwrap_or(false)
}

fn this_task() -> Option<TaskId> {
    current(|current| current.implied.entity).map(TaskId)
}

pub(crate) fn task() -> TaskId {
    this_task().unwrap_or(TaskId(Uuid::nil()))
}

pub(crate) fn is_task(value: &TaskId) -> bool {
    this_task() == Some(*value)
}

/// A session of its own has the id of the task.
pub(crate) fn session() -> String {
    this_task().map(|task| task.to_string()).unwrap_or_default()
}

pub(crate) fn is_session(value: &str) -> bool {
    this_task().is_some_and(|task| task.to_string() == value)
}

pub(crate) fn client() -> Option<String> {
    current(|current| current.implied.client.clone())
}

pub(crate) fn is_client(value: &Option<String>) -> bool {
    if is_stored() { *value == client() } else { value.is_none() }
}

pub(crate) fn timeout_ms() -> i64 {
    TIMEOUT_MS
}

pub(crate) fn is_timeout_ms(value: &i64) -> bool {
    is_stored() && *value == TIMEOUT_MS
}

pub(crate) fn lease_ms() -> i64 {
    LEASE_MS
}

pub(crate) fn is_lease_ms(value: &i64) -> bool {
    is_stored() && *value == LEASE_MS
}

pub(crate) fn priority() -> Priority {
    Priority::Normal
}

pub(crate) fn is_priority(value: &Priority) -> bool {
    is_stored() && *value == Priority::Normal
}

/// The message of a task, which a first prompt repeats.
pub(crate) mod message {
    use super::{CURRENT, Deserialize, Deserializer, Serialize, Serializer, current};

    fn note(text: &str) {
        CURRENT.with_borrow_mut(|current| {
            if let Some(current) = current {
                current.message = Some(text.to_owned());
            }
        });
    }

    pub(crate) fn serialize<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
        note(text);
        text.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
        let text = String::deserialize(deserializer)?;
        note(&text);
        Ok(text)
    }

    pub(crate) fn prompt() -> String {
        current(|current| current.message.clone()).unwrap_or_default()
    }

    pub(crate) fn is_prompt(value: &str) -> bool {
        current(|current| current.message.as_deref().map(|text| text == value)).unwrap_or(false)
    }
}

/// Declares an optional value that an event of a commit says and a later one repeats: the functions of the first, which note
/// it, and those of the second.
macro_rules! repeated {
    ($field:ident, $is_field:ident, $type:ty) => {
        pub(crate) mod $field {
            use super::{CURRENT, Deserialize, Deserializer, Serialize, Serializer};

            fn note(value: &Option<$type>) {
                CURRENT.with_borrow_mut(|current| {
                    if let Some(current) = current {
                        current.$field.clone_from(value);
                    }
                });
            }

            pub(crate) fn serialize<S: Serializer>(
                value: &Option<$type>,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                note(value);
                value.serialize(serializer)
            }

            pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Option<$type>, D::Error> {
                let value = Option::deserialize(deserializer)?;
                note(&value);
                Ok(value)
            }
        }

        pub(crate) fn $field() -> Option<$type> {
            current(|current| current.$field.clone())
        }

        pub(crate) fn $is_field(value: &Option<$type>) -> bool {
            if is_stored() { *value == $field() } else { value.is_none() }
        }
    };
}

repeated!(exit_code, is_exit_code, i32);
repeated!(error, is_error, String);

/// A run of the stream's task: its number, or its id.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum RunText {
    /// Number of the run within the task, from 1.
    Number(u32),
    /// Id of the run.
    Id(RunId),
}

impl RunText {
    fn new(run: RunId) -> Self {
        let number = this_task()
            .and_then(|task| (1..=NUMBERED_RUNS_MAX).find(|number| RunId::for_task(task, *number) == run));
        number.map_or(Self::Id(run), Self::Number)
    }

    fn run<E: serde::de::Error>(self) -> Result<RunId, E> {
        match (self, this_task()) {
            (Self::Id(run), _) => Ok(run),
            (Self::Number(number), Some(task)) => Ok(RunId::for_task(task, number)),
            (Self::Number(_), None) => {
                Err(E::custom("a run stands as a number only in the stream of its task"))
            }
        }
    }
}

/// An attempt of the stream's task: its lease epoch, or its id.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum AttemptText {
    /// Lease epoch of the attempt.
    Epoch(u64),
    /// Id of the attempt.
    Id(AttemptId),
}

impl AttemptText {
    fn new(attempt: &AttemptId) -> Self {
        if is_task(&attempt.task) && is_workspace(&attempt.workspace) {
            Self::Epoch(attempt.epoch)
        } else {
            Self::Id(attempt.clone())
        }
    }

    fn attempt<E: serde::de::Error>(self) -> Result<AttemptId, E> {
        match (self, this_task()) {
            (Self::Id(attempt), _) => Ok(attempt),
            (Self::Epoch(epoch), Some(task)) => Ok(AttemptId { workspace: workspace(), task, epoch }),
            (Self::Epoch(_), None) => {
                Err(E::custom("an attempt stands as an epoch only in the stream of its task"))
            }
        }
    }
}

pub(crate) mod run {
    use super::{Deserialize, Deserializer, RunId, RunText, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(run: &RunId, serializer: S) -> Result<S::Ok, S::Error> {
        RunText::new(*run).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RunId, D::Error> {
        RunText::deserialize(deserializer)?.run()
    }
}

pub(crate) mod optional_run {
    use super::{Deserialize, Deserializer, RunId, RunText, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(run: &Option<RunId>, serializer: S) -> Result<S::Ok, S::Error> {
        run.map(RunText::new).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<RunId>, D::Error> {
        Option::<RunText>::deserialize(deserializer)?.map(RunText::run).transpose()
    }
}

pub(crate) mod attempt {
    use super::{AttemptId, AttemptText, Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(attempt: &AttemptId, serializer: S) -> Result<S::Ok, S::Error> {
        AttemptText::new(attempt).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<AttemptId, D::Error> {
        AttemptText::deserialize(deserializer)?.attempt()
    }
}

/// Ends the description of a field that the stored form may leave out.
pub const NOT_STORED: &str = " Not stored where the commit says it.";

/// Says in the schema of a field that the stored form may leave it out; its value is then no constant.
pub(crate) fn drawn(schema: &mut Schema) {
    schema.remove("default");
    let described = schema.get("description").and_then(|text| text.as_str()).unwrap_or_default();
    let described = format!("{described}{NOT_STORED}");
    schema.insert("description".to_owned(), described.into());
}

/// Draws the schema of an id: as readers of the API get it, or as it is stored, where the number may stand instead.
macro_rules! drawn_id {
    ($name:ident, $id:ty, $text:ty) => {
        pub(crate) struct $name;

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                if generator.contract().is_serialize() {
                    generator.subschema_for::<$id>()
                } else {
                    <$text>::json_schema(generator)
                }
            }
        }
    };
}

drawn_id!(DrawnRun, RunId, RunText);
drawn_id!(DrawnAttempt, AttemptId, AttemptText);

#[cfg(test)]
pub(crate) fn fixture() -> Implied {
    Implied {
        workspace: "dev".into(),
        entity: Some(Uuid::from_u128(7)),
        at: DateTime::UNIX_EPOCH,
        client: None,
    }
}
