//! Outputs of a task.

use serde_json::{Map, Value};

use crate::id::{OutputId, RunId};
use crate::implied::{self, At};

stored! {
/// An output was produced.
pub struct OutputProduced {
    /// The output.
    #[serde(default = "implied::unnamed_output", skip_serializing_if = "implied::is_unnamed_output")]
    #[schemars(transform = implied::drawn)]
    pub output_id: OutputId,
    /// The run that made it; none for outputs added from outside.
    pub run_id: Option<RunId>,
    /// Its type, free.
    pub output_type: String,
    /// A name for people.
    pub title: String,
    /// A summary of its content.
    pub summary: Option<String>,
    /// URI of the content.
    pub uri: Option<String>,
    /// The content, as JSON.
    #[serde(default = "implied::empty", skip_serializing_if = "implied::is_empty")]
    #[schemars(transform = implied::drawn)]
    pub data: Map<String, Value>,
    /// Further details.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// Fingerprint of what it was produced with, under the key of the log: only an equal command is a repeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// `active`, or `pending` when it waits for a decision.
    #[serde(default = "implied::output_status", skip_serializing_if = "implied::is_output_status")]
    #[schemars(transform = implied::drawn)]
    pub status: OutputStatus,
    /// Time of the event.
    pub created_at: At,
}

/// Rows were added to an output, after those of its `data.rows`.
pub struct OutputRowsAppended {
    /// The output.
    #[serde(default = "implied::keyed_output", skip_serializing_if = "implied::is_keyed_output")]
    #[schemars(transform = implied::drawn)]
    pub output_id: OutputId,
    /// Number of the first of them among the rows of the output, from 1.
    pub first_row: u64,
    /// The new rows.
    pub rows: Vec<Value>,
    /// Time of the event.
    pub at: At,
}

/// The output got its final summary.
pub struct OutputFinalized {
    /// The output.
    #[serde(default = "implied::keyed_output", skip_serializing_if = "implied::is_keyed_output")]
    #[schemars(transform = implied::drawn)]
    pub output_id: OutputId,
    /// The summary.
    pub summary: String,
    /// Fingerprint of the summary, under the key of the log: the same once more changes nothing.
    pub fingerprint: String,
    /// Time of the event.
    pub at: At,
}

/// An output's status changed.
pub struct OutputStatusChanged {
    /// The output.
    #[serde(default = "implied::next_output", with = "implied::changed_output")]
    #[serde(skip_serializing_if = "implied::is_next_output")]
    #[schemars(with = "OutputId", transform = implied::drawn)]
    pub output_id: OutputId,
    /// The status from now on.
    #[serde(with = "implied::changed_status")]
    #[schemars(with = "OutputStatus")]
    pub status: OutputStatus,
    /// The reason, when one was given.
    #[serde(default = "implied::decided_reason", skip_serializing_if = "implied::is_decided_reason")]
    #[schemars(transform = implied::drawn)]
    pub reason: Option<String>,
    /// Time of the event.
    pub at: At,
}

/// The output was archived.
pub struct OutputArchived {
    /// The output.
    pub output_id: OutputId,
    /// Time of the event.
    pub at: At,
}
}

choice! {
/// The status of an output.
pub enum OutputStatus {
    /// In force.
    Active = "active",
    /// Waits for a decision.
    Pending = "pending",
    /// Approved, in force once the run succeeds.
    Approved = "approved",
    /// Rejected by a decision.
    Rejected = "rejected",
    /// Its task was cancelled.
    Cancelled = "cancelled",
}
}
