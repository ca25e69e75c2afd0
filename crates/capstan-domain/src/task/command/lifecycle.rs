//! Commands that cancel, retry, archive, wake or change a task.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::Change;
use crate::id::{InputId, RunId};

/// Cancels a task (`CancelTask`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancel {
    /// The reason, for people.
    pub reason: Option<String>,
    /// Grace of the worker to stop, in milliseconds.
    pub grace_ms: i64,
}

/// Cancels a run, and with it its task (`CancelRun`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelRun {
    /// Id of the run.
    pub run_id: RunId,
    /// The reason, for people.
    pub reason: Option<String>,
    /// Grace of the worker to stop, in milliseconds.
    pub grace_ms: i64,
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

/// Gives a task that ended badly another run (`RetryTask`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// A message for the agent; blank for none.
    pub message: String,
    /// The input the message becomes.
    pub input_id: InputId,
    /// Longest message, in bytes.
    pub message_bytes_max: usize,
}

/// Archives a task (`ArchiveTask`); an open one is cancelled first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// Grace of the worker of an open task, in milliseconds.
    pub grace_ms: i64,
}

/// Takes a task out of the archive (`UnarchiveTask`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unarchive;

/// Changes something about a task (`UpdateTask`). What is absent stays.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// `low`, `normal`, `high`, `urgent`, in any case.
    pub priority: Option<String>,
    /// Limit in US dollars, or none.
    pub budget_usd: Change<f64>,
    /// The payload of later runs.
    pub payload: PayloadChange,
    /// Reply addressing.
    pub routing: Option<Map<String, Value>>,
    /// A name for people, or none.
    pub label: Change<String>,
    /// Names and values to filter by.
    pub labels: Option<BTreeMap<String, String>>,
    /// The deadline, or none.
    pub deadline: Change<DateTime<Utc>>,
    /// Longest message, in bytes.
    pub message_bytes_max: usize,
}

/// The payload of later runs; absent fields stay as they are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PayloadChange {
    /// The command's text.
    pub message: Option<String>,
    /// Text added to the agent's system prompt; blank clears it.
    pub extra_system_prompt: Option<String>,
    /// Objects handed to the agent.
    pub attachments: Option<Vec<Map<String, Value>>>,
    /// Longest attempt in milliseconds; 0 = none.
    pub timeout_ms: Option<i64>,
    /// True to deliver the result to the routing address.
    pub deliver: Option<bool>,
}
