//! Tasks: accept, read, list, cancel, talk to.

use std::time::Duration;

use capstan_contract::command::{AcceptAgentCommand, CancelTask, RetryTask, SubmitTaskInput};
use capstan_domain::id::TaskId;
use capstan_domain::usage::Usage;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{Client, Error, Page, Receipt};

/// A task as the server shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// The task.
    pub id: Uuid,
    /// `queued`, `sleeping`, `running`, `waiting`, `done`, `error`, `cancelled` or `dropped`.
    pub state: String,
    /// The agent.
    #[serde(default)]
    pub agent_id: Option<Uuid>,
    /// The conversation its runs share.
    #[serde(default)]
    pub session_id: Option<String>,
    /// The display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The error text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The open question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_blocker: Option<Value>,
    /// Counts the task's commits.
    #[serde(default)]
    pub version: Option<u64>,
    /// Every other field, by its wire name.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Task {
    /// True when nothing will happen any more unless somebody asks for it.
    pub fn is_terminal(&self) -> bool {
        matches!(self.state.as_str(), "done" | "error" | "cancelled" | "dropped")
    }

    /// The usage of its runs so far.
    pub fn usage(&self) -> Usage {
        self.rest.get("usage").and_then(|usage| Usage::deserialize(usage).ok()).unwrap_or_default()
    }
}

/// The answer to a command about a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accepted {
    /// The proof.
    pub receipt: Receipt,
    /// The task after the command; absent when the server could not show it in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
}

/// The answer to an input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputAccepted {
    /// The proof.
    pub receipt: Receipt,
    /// `delivered`, `queued`, `resumed` …
    pub outcome: String,
    /// The input.
    pub input_id: Uuid,
    /// The task after the input; absent when the server could not show it in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
}

/// A filter of tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TaskFilter {
    /// In this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Of this agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// With this label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Maximum number of items.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// The page after this cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Wait until the list shows this position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_position: Option<String>,
    /// Wait at most so long for it, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
}

impl Client {
    /// Creates a task, under an idempotency key if one is given: the same key always names the same task.
    pub async fn create_task(&self, task: &AcceptAgentCommand, key: Option<&str>) -> Result<Accepted, Error> {
        self.of_workspace(Method::POST, &["tasks"]).command(task, key).answer().await
    }

    /// Reads a task as it is shown now.
    pub async fn task(&self, id: Uuid) -> Result<Task, Error> {
        self.of_workspace(Method::GET, &["tasks", &id.to_string()]).answer().await
    }

    /// Reads a task once the read model has come to `position`; waits at most `wait` (the server's limit is 30 s).
    pub async fn task_at(&self, id: Uuid, position: &str, wait: Duration) -> Result<Task, Error> {
        self.of_workspace(Method::GET, &["tasks", &id.to_string()])
            .query(&[("min_position", position), ("wait_ms", &wait.as_millis().to_string())])
            .waiting(wait)
            .answer()
            .await
    }

    /// Lists tasks, newest first.
    pub async fn tasks(&self, filter: &TaskFilter) -> Result<Page<Task>, Error> {
        let wait = Duration::from_millis(filter.wait_ms.unwrap_or(0));
        self.of_workspace(Method::GET, &["tasks"]).query(filter).waiting(wait).answer().await
    }

    /// Cancels a task.
    pub async fn cancel_task(&self, id: Uuid, reason: Option<&str>) -> Result<Accepted, Error> {
        let body = CancelTask { task_id: TaskId(id), reason: reason.map(str::to_owned) };
        self.of_workspace(Method::POST, &["tasks", &id.to_string(), "cancel"]).json(&body).answer().await
    }

    /// Retries a task that failed, was dropped or was cancelled.
    pub async fn retry_task(&self, id: Uuid, message: Option<&str>) -> Result<Accepted, Error> {
        let body = RetryTask { task_id: TaskId(id), message: message.map(str::to_owned) };
        self.of_workspace(Method::POST, &["tasks", &id.to_string(), "retry"]).json(&body).answer().await
    }

    /// Archives a task; an open one is cancelled first.
    pub async fn archive_task(&self, id: Uuid) -> Result<Accepted, Error> {
        self.of_workspace(Method::POST, &["tasks", &id.to_string(), "archive"]).answer().await
    }

    /// Unarchives a task.
    pub async fn unarchive_task(&self, id: Uuid) -> Result<Accepted, Error> {
        self.of_workspace(Method::POST, &["tasks", &id.to_string(), "unarchive"]).answer().await
    }

    /// Changes something about a task: fields by their wire names; null clears what need not be there.
    pub async fn update_task(&self, id: Uuid, changes: &Map<String, Value>) -> Result<Accepted, Error> {
        self.of_workspace(Method::PATCH, &["tasks", &id.to_string()]).json(changes).answer().await
    }

    /// Sends an input to a task: answers its question, or resumes it.
    pub async fn submit_input(
        &self,
        input: &SubmitTaskInput,
        key: Option<&str>,
    ) -> Result<InputAccepted, Error> {
        let path = ["tasks", &input.task_id.to_string(), "input"];
        self.of_workspace(Method::POST, &path).command(input, key).answer().await
    }

    /// Lists what was said to a task.
    pub async fn task_inputs(&self, id: Uuid) -> Result<Page<Value>, Error> {
        self.of_workspace(Method::GET, &["tasks", &id.to_string(), "inputs"]).answer().await
    }

    /// Reads a task's log lines after a cursor.
    pub async fn task_logs(&self, id: Uuid, after: Option<&str>, limit: u32) -> Result<Value, Error> {
        let limit = limit.to_string();
        let mut query = vec![("limit", limit.as_str())];
        query.extend(after.map(|after| ("cursor", after)));
        self.of_workspace(Method::GET, &["tasks", &id.to_string(), "logs"]).query(&query).answer().await
    }
}
