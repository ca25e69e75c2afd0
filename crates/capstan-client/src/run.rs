//! Runs of tasks.

use capstan_contract::command::{CancelRun, EnqueueRunInput};
use capstan_domain::id::RunId;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{Accepted, Client, Error, InputAccepted, Page};

/// A run as the server shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The run.
    pub id: Uuid,
    /// The task it is a run of.
    pub task_id: Uuid,
    /// `accepted`, `running`, `ok`, `error`, `timeout` or `cancelled`.
    pub status: String,
    /// The number of its attempts.
    #[serde(default)]
    pub attempt_no: Option<u32>,
    /// The tries.
    #[serde(default)]
    pub attempts: Vec<Value>,
    /// The exit code of the last try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The error text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The run whose session this one resumes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed_from_run_id: Option<Uuid>,
    /// Every other field, by its wire name.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// A filter of runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RunFilter {
    /// In this status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Of this agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
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
    /// Reads a run.
    pub async fn run(&self, id: Uuid) -> Result<Run, Error> {
        self.of_workspace(Method::GET, &["runs", &id.to_string()]).answer().await
    }

    /// Lists runs.
    pub async fn runs(&self, filter: &RunFilter) -> Result<Page<Run>, Error> {
        self.of_workspace(Method::GET, &["runs"]).query(filter).answer().await
    }

    /// Lists the runs of a task.
    pub async fn task_runs(&self, task_id: Uuid) -> Result<Page<Run>, Error> {
        self.of_workspace(Method::GET, &["tasks", &task_id.to_string(), "runs"]).answer().await
    }

    /// Cancels a run, and with it its task.
    pub async fn cancel_run(&self, id: Uuid, reason: Option<&str>) -> Result<Accepted, Error> {
        let body = CancelRun { run_id: RunId(id), reason: reason.map(str::to_owned) };
        self.of_workspace(Method::POST, &["runs", &id.to_string(), "cancel"]).json(&body).answer().await
    }

    /// Sends an input to the task of a run.
    pub async fn submit_run_input(&self, id: Uuid, message: &str) -> Result<InputAccepted, Error> {
        let body = EnqueueRunInput { run_id: RunId(id), message: message.to_owned(), queue_mode: None };
        self.of_workspace(Method::POST, &["runs", &id.to_string(), "input"]).json(&body).answer().await
    }
}
