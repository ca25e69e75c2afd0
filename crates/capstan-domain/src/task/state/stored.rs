//! The stored forms of a task: its progress beside an acceptance that is stored elsewhere, and both together.

use std::sync::Arc;

use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::{Progress, Task};
use crate::implied::{Implied, within};
use crate::task::event::TaskAccepted;

/// The ids and times that the progress of a task leaves out, because its acceptance says them.
fn implied(accepted: &TaskAccepted) -> Implied {
    Implied {
        workspace: accepted.workspace.clone(),
        entity: Some(accepted.task_id.0),
        at: accepted.accepted_at,
        client: None,
    }
}

impl Task {
    /// The progress, as JSON. Runs stand as their numbers and attempts as their epochs.
    pub fn progress_json(&self) -> serde_json::Result<String> {
        within(implied(&self.accepted), || serde_json::to_string(&self.progress))
    }

    /// The task of an acceptance, with or without its later changes, and the progress that
    /// [`progress_json`](Self::progress_json) wrote.
    pub fn of_parts(accepted: Arc<TaskAccepted>, progress_json: &str) -> serde_json::Result<Self> {
        let progress = within(implied(&accepted), || serde_json::from_str(progress_json))?;
        Ok(Self::new_with(accepted, progress))
    }

    fn new_with(mut accepted: Arc<TaskAccepted>, progress: Progress) -> Self {
        if !progress.changes.is_empty() {
            progress.changes.apply(Arc::make_mut(&mut accepted));
        }
        Self { accepted, progress }
    }
}

struct ProgressOf<'a>(&'a Task);

impl Serialize for ProgressOf<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        within(implied(&self.0.accepted), || self.0.progress.serialize(serializer))
    }
}

impl Serialize for Task {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut both = serializer.serialize_struct("Task", 2)?;
        both.serialize_field("accepted", &self.accepted)?;
        both.serialize_field("progress", &ProgressOf(self))?;
        both.end()
    }
}

impl<'de> Deserialize<'de> for Task {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Both {
            accepted: Arc<TaskAccepted>,
            progress: Value,
        }
        let Both { accepted, progress } = Both::deserialize(deserializer)?;
        let progress = within(implied(&accepted), || Progress::deserialize(progress));
        Ok(Self::new_with(accepted, progress.map_err(serde::de::Error::custom)?))
    }
}

#[cfg(test)]
mod tests;
