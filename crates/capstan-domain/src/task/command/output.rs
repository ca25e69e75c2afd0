//! Commands about outputs.

use serde_json::{Map, Value};

use crate::id::{AttemptId, OutputId};
use crate::task::event::OutputStatus;

/// The agent, or a caller from outside, produced an output.
#[derive(Clone, Debug, PartialEq)]
pub struct ProduceOutput {
    /// The attempt that reports it; none for a caller from outside.
    pub attempt_id: Option<AttemptId>,
    /// Fresh, or derived from the producer's name for it.
    pub output_id: OutputId,
    /// Its type.
    pub output_type: String,
    /// A name for people.
    pub title: String,
    /// A summary of its content.
    pub summary: Option<String>,
    /// URI of the content.
    pub uri: Option<String>,
    /// The content, as JSON.
    pub data: Map<String, Value>,
    /// Further details.
    pub metadata: Map<String, Value>,
    /// `Active` or `Pending`.
    pub status: OutputStatus,
}

/// Adds rows to an output.
#[derive(Clone, Debug, PartialEq)]
pub struct AppendOutputRows {
    /// The attempt that reports it; none for a caller from outside.
    pub attempt_id: Option<AttemptId>,
    /// Id of the output.
    pub output_id: OutputId,
    /// The rows.
    pub rows: Vec<Value>,
}

/// Gives an output its final summary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalizeOutput {
    /// The attempt that reports it; none for a caller from outside.
    pub attempt_id: Option<AttemptId>,
    /// Id of the output.
    pub output_id: OutputId,
    /// The summary.
    pub summary: String,
}

/// Archives outputs; archived ones stay as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveOutputs {
    /// Ids of the outputs.
    pub output_ids: Vec<OutputId>,
}
