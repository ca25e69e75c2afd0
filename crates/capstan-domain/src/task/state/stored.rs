//! The stored forms of a task: its progress beside an acceptance that is stored elsewhere, and both together.

use std::borrow::Cow;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use serde_json::value::RawValue;

use super::{Progress, Task};
use crate::id::TaskId;
use crate::implied::{Implied, within, within_row};
use crate::stored::json_bytes;
use crate::task::event::TaskAccepted;

/// The ids and times that the progress of a task leaves out, because its acceptance says them.
fn implied(accepted: &TaskAccepted) -> Implied {
    Implied {
        workspace: accepted.workspace.clone(),
        entity: Some(accepted.task_id.0),
        at: accepted.accepted_at,
        client: None,
        // Nothing of a row follows from a command.
        command: String::new(),
        key: None,
    }
}

impl Task {
    /// The progress in its stored form, as a part of another document. Runs stand as their numbers and attempts as their epochs.
    pub const fn stored_progress(&self) -> StoredProgress<'_> {
        StoredProgress(self)
    }

    /// The same as JSON.
    pub fn progress_json(&self) -> serde_json::Result<String> {
        serde_json::to_string(&self.stored_progress())
    }

    /// The bytes of [`progress_json`](Self::progress_json).
    pub fn progress_bytes(&self) -> usize {
        json_bytes(&self.stored_progress())
    }

    /// The task of an acceptance, with or without its later changes, and the progress that
    /// [`progress_json`](Self::progress_json) wrote.
    pub fn of_parts(accepted: Arc<TaskAccepted>, progress_json: &str) -> serde_json::Result<Self> {
        let progress = within_row(implied(&accepted), || serde_json::from_str(progress_json))?;
        Ok(Self::new_with(accepted, progress))
    }

    fn new_with(mut accepted: Arc<TaskAccepted>, progress: Progress) -> Self {
        if !progress.changes.is_empty() {
            progress.changes.apply(Arc::make_mut(&mut accepted));
        }
        Self::of(accepted, progress)
    }
}

/// The progress of a task in its stored form.
#[derive(Clone, Copy, Debug)]
pub struct StoredProgress<'a>(&'a Task);

impl Serialize for StoredProgress<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        within_row(implied(&self.0.accepted), || self.0.progress.serialize(serializer))
    }
}

/// The three parts of a stored task. Whoever stores them apart writes this text from them ([`Task::json_of`]).
#[derive(Serialize, Deserialize)]
struct Parts {
    task: TaskId,
    acceptance: Box<RawValue>,
    progress: Box<RawValue>,
}

impl Task {
    /// The JSON form of a task whose parts are stored apart. The acceptance may be a reduced one.
    pub fn json_of(task_id: TaskId, acceptance: &str, progress: &str) -> String {
        format!(r#"{{"task":"{task_id}","acceptance":{acceptance},"progress":{progress}}}"#)
    }
}

impl Serialize for Task {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw = |json: serde_json::Result<String>| json.and_then(RawValue::from_string);
        let acceptance = raw(self.accepted.stored_json()).map_err(ser::Error::custom)?;
        let progress = raw(self.progress_json()).map_err(ser::Error::custom)?;
        Parts { task: self.accepted.task_id, acceptance, progress }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Task {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Parts { task, acceptance, progress } = Parts::deserialize(deserializer)?;
        let accepted = TaskAccepted::of_stored(task, acceptance.get()).map_err(de::Error::custom)?;
        Self::of_parts(Arc::new(accepted), progress.get()).map_err(de::Error::custom)
    }
}

/// An acceptance outside its commit: its stored form, with what the commit says beside it, but for the task's id.
#[serde_with::skip_serializing_none]
#[derive(Serialize, Deserialize)]
struct StoredAcceptance<'a> {
    workspace: Cow<'a, str>,
    at: DateTime<Utc>,
    by: Option<Cow<'a, str>>,
    #[serde(borrow)]
    accepted: &'a RawValue,
}

impl TaskAccepted {
    /// The stored form, as JSON. The task's id is not in it.
    pub fn stored_json(&self) -> serde_json::Result<String> {
        let implied = Implied { client: self.accepted_by.clone(), ..implied(self) };
        let accepted = within(implied, || serde_json::value::to_raw_value(self))?;
        let workspace = self.workspace.as_str().into();
        let by = self.accepted_by.as_deref().map(Cow::from);
        serde_json::to_string(&StoredAcceptance { workspace, at: self.accepted_at, by, accepted: &accepted })
    }

    /// The acceptance of this task in that form.
    pub fn of_stored(task_id: TaskId, json: &str) -> serde_json::Result<Self> {
        let StoredAcceptance { workspace, at, by, accepted } = serde_json::from_str(json)?;
        let (workspace, client) = (workspace.into_owned(), by.map(Cow::into_owned));
        let implied =
            Implied { workspace, entity: Some(task_id.0), at, client, command: String::new(), key: None };
        within(implied, || serde_json::from_str(accepted.get()))
    }
}

#[cfg(test)]
mod tests;
