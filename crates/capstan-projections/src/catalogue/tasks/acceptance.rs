//! The acceptance of a task, as its table holds it: the stored form of the event, with what its commit says beside it.

use std::sync::Arc;

use capstan_domain::implied::{Implied, within};
use capstan_domain::task::event::TaskAccepted;
use chrono::{DateTime, Utc};
use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

/// The document. Workspace and task are columns of the task's row, which its readers have.
#[serde_with::skip_serializing_none]
#[derive(Serialize, Deserialize)]
struct Document<'a> {
    workspace: String,
    at: DateTime<Utc>,
    by: Option<String>,
    #[serde(borrow)]
    accepted: &'a RawValue,
}

fn implied(workspace: &str, task_id: Uuid, at: DateTime<Utc>, by: Option<&str>) -> Implied {
    Implied { workspace: workspace.to_owned(), entity: Some(task_id), at, client: by.map(str::to_owned) }
}

/// The JSON text of an acceptance with the changes made since.
pub(super) fn write(accepted: &TaskAccepted) -> String {
    let TaskAccepted { workspace, task_id, accepted_at, accepted_by, .. } = accepted;
    let by = accepted_by.as_deref();
    let text = within(implied(workspace, task_id.0, *accepted_at, by), || {
        let accepted = serde_json::value::to_raw_value(accepted)?;
        let workspace = workspace.clone();
        serde_json::to_string(&Document {
            workspace,
            at: *accepted_at,
            by: accepted_by.clone(),
            accepted: &accepted,
        })
    });
    text.unwrap_or_else(|_| unreachable!("an acceptance that was read serializes as JSON"))
}

/// Reads an acceptance; an absent one is an error.
pub(crate) fn read(task_id: Uuid, text: Option<&str>) -> serde_json::Result<Arc<TaskAccepted>> {
    let text = text.ok_or_else(|| serde_json::Error::custom("the acceptance of the task is missing"))?;
    let Document { workspace, at, by, accepted } = serde_json::from_str(text)?;
    within(implied(&workspace, task_id, at, by.as_deref()), || serde_json::from_str(accepted.get()))
        .map(Arc::new)
}
