//! What a task produces.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::id::{OutputId, RunId};

stored! {
/// The agent produced something.
pub struct OutputProduced {
    /// The output.
    pub output_id: OutputId,
    /// The run that made it; none for outputs added from outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
    /// What it is, free.
    pub output_type: String,
    /// A name for people.
    pub title: String,
    /// What it says, in short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// Where it lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// The thing itself.
    #[serde(default)]
    pub data: Map<String, Value>,
    /// More about it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// `active`, or `pending` when it waits for a decision.
    pub status: OutputStatus,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// Rows were added to an output's `data.rows`.
pub struct OutputRowsAppended {
    /// The output.
    pub output_id: OutputId,
    /// The new rows.
    pub rows: Vec<Value>,
    /// When.
    pub at: DateTime<Utc>,
}

/// The output got its final summary.
pub struct OutputFinalized {
    /// The output.
    pub output_id: OutputId,
    /// The summary.
    pub summary: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// An output's status changed.
pub struct OutputStatusChanged {
    /// The output.
    pub output_id: OutputId,
    /// The status from now on.
    pub status: OutputStatus,
    /// Why, when somebody said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}

/// The output was put away.
pub struct OutputArchived {
    /// The output.
    pub output_id: OutputId,
    /// When.
    pub at: DateTime<Utc>,
}
}

choice! {
/// Where an output stands.
pub enum OutputStatus {
    /// In force.
    Active,
    /// Waits for a decision.
    Pending,
    /// Approved, in force once the run ended well.
    Approved,
    /// Rejected.
    Rejected,
    /// Its task was cancelled.
    Cancelled,
}
}

impl OutputStatus {
    /// The wire word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
        }
    }
}
