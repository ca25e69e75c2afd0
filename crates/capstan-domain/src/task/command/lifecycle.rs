//! Requests that end a task, bring it back, put it away, wake it, or change something about it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::Change;
use crate::id::{InputId, RunId};

/// Cancels a task (`CancelTask`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancel {
    /// Why.
    pub reason: Option<String>,
    /// How long the worker has to stop, in milliseconds.
    pub grace_ms: i64,
    /// When.
    pub at: DateTime<Utc>,
}

/// Cancels a run, and with it its task (`CancelRun`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelRun {
    /// Which run.
    pub run_id: RunId,
    /// Why.
    pub reason: Option<String>,
    /// How long the worker has to stop, in milliseconds.
    pub grace_ms: i64,
    /// When.
    pub at: DateTime<Utc>,
}

/// The sleep timer rings. A timer of another sleep changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wake {
    /// The instant the timer was set for.
    pub wake_at: DateTime<Utc>,
    /// When.
    pub at: DateTime<Utc>,
}

/// The task's deadline passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassDeadline {
    /// The deadline that passed.
    pub deadline: DateTime<Utc>,
    /// How long the worker has to stop, in milliseconds.
    pub grace_ms: i64,
    /// When.
    pub at: DateTime<Utc>,
}

/// Gives a task that ended badly another run (`RetryTask`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// What is said with it; blank for nothing.
    pub message: String,
    /// The input the message becomes.
    pub input_id: InputId,
    /// Longest message, in bytes.
    pub message_bytes_max: usize,
    /// When.
    pub at: DateTime<Utc>,
}

/// Puts a task away (`ArchiveTask`); one that is not over is cancelled first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// How long the worker of a task that is not over has to stop, in milliseconds.
    pub grace_ms: i64,
    /// When.
    pub at: DateTime<Utc>,
}

/// Takes a task out of the archive (`UnarchiveTask`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unarchive {
    /// When.
    pub at: DateTime<Utc>,
}

/// Changes something about a task (`UpdateTask`). What is absent stays.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// `low`, `normal`, `high`, `urgent`, in any case.
    pub priority: Option<String>,
    /// Limit in US dollars, or none.
    pub budget_usd: Change<f64>,
    /// What later runs are told.
    pub payload: PayloadChange,
    /// Reply addressing.
    pub routing: Option<Map<String, Value>>,
    /// A name for people, or none.
    pub label: Change<String>,
    /// Names and values to filter by.
    pub labels: Option<BTreeMap<String, String>>,
    /// When it must be over, or never.
    pub deadline: Change<DateTime<Utc>>,
    /// Longest message, in bytes.
    pub message_bytes_max: usize,
    /// When.
    pub at: DateTime<Utc>,
}

/// What later runs are told; absent fields stay as they are.
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
    /// Whether the result is to be delivered.
    pub deliver: Option<bool>,
}
