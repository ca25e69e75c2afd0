//! Requests about what agents produce.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::id::{AttemptId, OutputId};
use crate::task::event::OutputStatus;

/// The agent, or somebody outside, produced something.
#[derive(Clone, Debug, PartialEq)]
pub struct ProduceOutput {
    /// The fence; none when it is said from outside.
    pub attempt_id: Option<AttemptId>,
    /// Fresh, or derived from the producer's name for it.
    pub output_id: OutputId,
    /// What it is.
    pub output_type: String,
    /// A name for people.
    pub title: String,
    /// What it says.
    pub summary: Option<String>,
    /// Where it lies.
    pub uri: Option<String>,
    /// The thing itself.
    pub data: Map<String, Value>,
    /// More about it.
    pub metadata: Map<String, Value>,
    /// `Active` or `Pending`.
    pub status: OutputStatus,
    /// When.
    pub at: DateTime<Utc>,
}

/// Adds rows to an output.
#[derive(Clone, Debug, PartialEq)]
pub struct AppendOutputRows {
    /// The fence; none when it is said from outside.
    pub attempt_id: Option<AttemptId>,
    /// Which output.
    pub output_id: OutputId,
    /// The rows.
    pub rows: Vec<Value>,
    /// When.
    pub at: DateTime<Utc>,
}

/// Gives an output its final summary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalizeOutput {
    /// The fence; none when it is said from outside.
    pub attempt_id: Option<AttemptId>,
    /// Which output.
    pub output_id: OutputId,
    /// The summary.
    pub summary: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// Puts outputs away; those that are away already stay as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveOutputs {
    /// Which outputs.
    pub output_ids: Vec<OutputId>,
    /// When.
    pub at: DateTime<Utc>,
}
