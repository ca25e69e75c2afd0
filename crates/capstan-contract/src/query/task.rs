use std::collections::BTreeMap;

use capstan_domain::id::{RunId, TaskId};
use capstan_domain::task::TaskState;
use capstan_domain::task::event::{BlockerKind, Priority};
use capstan_envelope::Position;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Archived, AsOf, WaitingReason};

/// Lists the tasks of a workspace, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListTasks {
    /// Agent id, key or similar name.
    pub agent_id: Option<String>,
    /// Accepted states; any when empty.
    #[serde(default)]
    pub state: Vec<TaskState>,
    /// Accepted priorities; any when empty.
    #[serde(default)]
    pub priority: Vec<Priority>,
    /// The exact label.
    pub label: Option<String>,
    /// Labels that must all match; in a query string `name:value`, separated by commas.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Id of the parent task.
    pub parent_task_id: Option<TaskId>,
    /// Created for one of these outputs of the parent task.
    #[serde(default)]
    pub source_output_id: Vec<String>,
    /// Accepted reasons to wait; any task when empty.
    #[serde(default)]
    pub waiting_reason: Vec<WaitingReason>,
    /// Created after this instant.
    pub created_after: Option<DateTime<Utc>>,
    /// Created before this instant.
    pub created_before: Option<DateTime<Utc>>,
    /// Changed after this instant.
    pub updated_after: Option<DateTime<Utc>>,
    /// Changed before this instant.
    pub updated_before: Option<DateTime<Utc>>,
    /// Archived or not; those that are not by default.
    #[serde(default)]
    pub archived: Archived,
    /// Text in the label or the message, ignoring case.
    pub q: Option<String>,
}

/// Reads a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetTask {
    /// Id of the task.
    pub task_id: TaskId,
    /// State at this log position or instant, as in 2026-01-02T03:04:05Z.
    pub as_of: Option<AsOf>,
}

/// Lists the subtasks of a task, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListSubtasks {
    /// Id of the task.
    pub task_id: TaskId,
    /// Created for one of these outputs of the parent task.
    #[serde(default)]
    pub source_output_id: Vec<String>,
}

/// Lists the runs of a task, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListTaskRuns {
    /// Id of the task.
    pub task_id: TaskId,
}

/// Lists the outputs of a task, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListTaskOutputs {
    /// Id of the task.
    pub task_id: TaskId,
}

/// Lists the inputs of a task, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListTaskInputs {
    /// Id of the task.
    pub task_id: TaskId,
}

/// Reads a task with all its subtasks and their costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetTaskTree {
    /// Id of the task.
    pub task_id: TaskId,
    /// Levels below the task, 5 by default; a value beyond 50 counts as 50.
    pub depth: Option<u32>,
    /// Number of tasks, 500 by default; a value beyond 1 to 500 counts as the nearest one.
    pub limit: Option<u32>,
}

/// Lists the events of a task, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetTaskHistory {
    /// Id of the task.
    pub task_id: TaskId,
    /// Page size, 50 by default; a value beyond 1 to 500 counts as the nearest one. A page has the events of whole commits,
    /// so that of a commit with more events than this is longer.
    pub limit: Option<u32>,
    /// The `next_cursor` of the previous page.
    pub cursor: Option<Position>,
}

/// Lists the log lines of a task, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetTaskLogs {
    /// Id of the task.
    pub task_id: TaskId,
    /// Page size, 50 by default; a value beyond 1 to 500 counts as the nearest one.
    pub limit: Option<u32>,
    /// The `next_cursor` of the previous page.
    pub cursor: Option<u64>,
}

/// Reads the reasons why a task is not running.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WhyIsTaskWaiting {
    /// Id of the task.
    pub task_id: TaskId,
}

/// Reads a task with its new log lines, run events and outputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetTaskEventBatch {
    /// Id of the task.
    pub task_id: TaskId,
    /// The `next_log_cursor` of the last response.
    pub log_cursor: Option<u64>,
    /// The `next_run_event_cursor` of the last response.
    pub run_event_cursor: Option<u64>,
    /// The `run_id` of the last response.
    pub cursor_run_id: Option<RunId>,
}

/// Lists the open questions of all tasks of a workspace, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListInbox {
    /// Agent id, key or similar name.
    pub agent_id: Option<String>,
    /// Accepted kinds of questions; any when empty.
    #[serde(default)]
    pub kind: Vec<BlockerKind>,
}
