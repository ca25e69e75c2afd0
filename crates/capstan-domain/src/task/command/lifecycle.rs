//! Commands that cancel, retry, archive, wake or change a task.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Change;
use crate::change::only_changes_are_null;
use crate::finite::AMOUNT_MAX;
use crate::id::{RunId, TaskId};
use crate::span::SPAN_MS_MAX;
use crate::task::words::PriorityWord;

/// Cancels a task.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CancelTask {
    /// Id of the task.
    pub task_id: TaskId,
    /// Reason; free text.
    pub reason: Option<String>,
}

/// Cancels a run, and with it its task.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CancelRun {
    /// Id of the run.
    pub run_id: RunId,
    /// Reason; free text.
    pub reason: Option<String>,
}

/// The sleep timer fires. A timer of another sleep changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wake {
    /// The instant the timer was set for.
    pub wake_at: DateTime<Utc>,
}

/// The task's deadline passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassDeadline {
    /// The deadline that passed.
    pub deadline: DateTime<Utc>,
    /// Grace of the worker to stop, in milliseconds.
    pub grace_ms: i64,
}

/// Gives a task that ended badly another run: one that is in error, dropped or cancelled.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RetryTask {
    /// Id of the task.
    pub task_id: TaskId,
    /// Message for the new run; the message of the last run when absent.
    pub message: Option<String>,
}

/// Archives a task; an open task is cancelled first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ArchiveTask {
    /// Id of the task.
    pub task_id: TaskId,
}

/// Takes a task out of the archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnarchiveTask {
    /// Id of the task.
    pub task_id: TaskId,
}

/// Changes something about a task. What is absent stays as it is; null clears what need not be there.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = only_changes_are_null)]
pub struct UpdateTask {
    /// Id of the task.
    pub task_id: TaskId,
    /// `low`, `normal`, `high` or `urgent`.
    #[schemars(with = "Option<PriorityWord>")]
    pub priority: Option<String>,
    /// Limit of what it may cost, in US dollars; null for none.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    #[schemars(range(min = 0.0, max = AMOUNT_MAX))]
    pub budget_usd: Change<f64>,
    /// Changes to the payload of later runs.
    pub payload_json: Option<TaskPayload>,
    /// Reply addressing, replaced as a whole.
    pub routing_json: Option<Map<String, Value>>,
    /// A name for people; null for none.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub label: Change<String>,
    /// Names and values to filter by, replaced as a whole.
    pub labels: Option<BTreeMap<String, String>>,
    /// Deadline of the task; null removes it.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub deadline: Change<DateTime<Utc>>,
}

/// Changes to the payload of a task; absent fields keep their value.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = only_changes_are_null)]
pub struct TaskPayload {
    /// The command's text.
    pub message: Option<String>,
    /// Text added to the agent's system prompt; blank for none.
    pub extra_system_prompt: Option<String>,
    /// Objects handed to the agent.
    pub attachments: Option<Vec<Map<String, Value>>>,
    /// Longest time one attempt may run, in milliseconds; 0 = none.
    #[schemars(range(min = 0, max = SPAN_MS_MAX))]
    pub timeout_ms: Option<i64>,
    /// True to deliver the result to the routing address.
    pub deliver: Option<bool>,
}
