//! The report of a subtask to its parent.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The part of a task its parent receives; empty for a task without a parent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ParentReport {
    /// The result of the last run.
    #[serde(default, skip_serializing_if = "crate::stored::is_nothing")]
    pub result: Option<Value>,
    /// The error of the task.
    #[serde(default, skip_serializing_if = "crate::stored::is_nothing")]
    pub error: Option<String>,
    /// True once the parent knows the end.
    #[serde(default, skip_serializing_if = "crate::stored::is_nothing")]
    pub is_sent: bool,
}
