//! Outputs of agents.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{Client, Error, Page};

/// An output as the server shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// The output.
    pub id: Uuid,
    /// The task it was made for.
    pub task_id: Uuid,
    /// The run that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<Uuid>,
    /// The type of the output, free.
    pub output_type: String,
    /// The display name.
    pub title: String,
    /// The summary of its content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// The address of its content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// The content.
    #[serde(default)]
    pub data: Value,
    /// Details, free.
    #[serde(default)]
    pub metadata: Value,
    /// `active`, `pending`, `approved`, `rejected` or `cancelled`.
    #[serde(default)]
    pub status: String,
    /// Every other field, by its wire name.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// A filter of outputs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OutputFilter {
    /// Of this task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_id: Option<Uuid>,
    /// Maximum number of items.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// The page after this cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Wait until the list shows this position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_position: Option<String>,
}

impl Client {
    /// Reads an output.
    pub async fn output(&self, id: Uuid) -> Result<Output, Error> {
        self.of_workspace(Method::GET, &["outputs", &id.to_string()]).answer().await
    }

    /// Lists outputs of the workspace.
    pub async fn outputs(&self, filter: &OutputFilter) -> Result<Page<Output>, Error> {
        self.of_workspace(Method::GET, &["outputs"]).query(filter).answer().await
    }

    /// Lists the outputs of a task.
    pub async fn task_outputs(&self, task_id: Uuid) -> Result<Page<Output>, Error> {
        self.of_workspace(Method::GET, &["tasks", &task_id.to_string(), "outputs"]).answer().await
    }
}
