//! Where a task stands, and what was changed about it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::priority::Priority;
use crate::id::RunId;

stored! {
/// The answer reached the live attempt: the task goes on.
pub struct TaskContinued {
    /// The run that goes on.
    pub run_id: RunId,
    /// When.
    pub at: DateTime<Utc>,
}

/// The task sleeps until a timer or an input wakes it.
pub struct TaskSlept {
    /// When the timer wakes it.
    pub wake_at: DateTime<Utc>,
    /// Why it sleeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the agent is told when the timer wakes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow_up_prompt: Option<String>,
    /// What is planned for then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agenda: Vec<AgendaItem>,
    /// When it fell asleep.
    pub at: DateTime<Utc>,
}

/// One thing planned for a wake.
pub struct AgendaItem {
    /// What kind of thing.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The task ended well.
pub struct TaskDone {
    /// When.
    pub at: DateTime<Utc>,
}

/// The task ended in an error.
pub struct TaskFailed {
    /// What went wrong.
    pub error: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// The task was cancelled.
pub struct TaskCancelled {
    /// Why, as the caller gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}

/// The task left the queue without ever running to an end.
pub struct TaskDropped {
    /// Why.
    pub reason: DropReason,
    /// When.
    pub at: DateTime<Utc>,
}

/// The task was put away; it refuses every command but its return.
pub struct TaskArchived {
    /// When.
    pub at: DateTime<Utc>,
}

/// The task was taken out of the archive.
pub struct TaskUnarchived {
    /// When.
    pub at: DateTime<Utc>,
}

/// The task's urgency was changed.
pub struct TaskReprioritised {
    /// The urgency from now on.
    pub priority: Priority,
    /// When.
    pub at: DateTime<Utc>,
}

/// The limit of what the task may cost was changed.
pub struct TaskBudgetSet {
    /// The limit from now on, in US dollars; absent means none.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "crate::finite::serialize_option")]
    pub budget_usd: Option<f64>,
    /// When.
    pub at: DateTime<Utc>,
}

/// The task was named anew.
pub struct TaskLabelled {
    /// The name for people from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The names and values to filter by from now on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// When.
    pub at: DateTime<Utc>,
}

/// The instant at which the task must be over was changed.
pub struct TaskDeadlineSet {
    /// The instant from now on; absent means none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<DateTime<Utc>>,
    /// When.
    pub at: DateTime<Utc>,
}

/// The reply addressing was changed.
pub struct TaskRoutingSet {
    /// The addressing from now on.
    pub routing: Map<String, Value>,
    /// When.
    pub at: DateTime<Utc>,
}

/// What later runs are told was changed; absent fields stay as they are.
pub struct TaskPayloadSet {
    /// The command's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Text added to the agent's system prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra_system_prompt: Option<String>,
    /// Objects handed to the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachments: Option<Vec<Map<String, Value>>>,
    /// Longest time one attempt may run, in milliseconds; 0 = none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<i64>,
    /// Whether the result is to be delivered to the routing address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deliver: Option<bool>,
    /// When.
    pub at: DateTime<Utc>,
}
}

impl DropReason {
    /// The wire word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::QueueTtl => "queue_ttl",
            Self::DispatchRetryExhausted => "dispatch_retry_exhausted",
            Self::RunMaterializationFailed => "run_materialization_failed",
        }
    }
}

choice! {
/// Why a task was dropped.
pub enum DropReason {
    /// It waited longer than its queue TTL.
    QueueTtl,
    /// Too many attempts were lost.
    DispatchRetryExhausted,
    /// The worker could not make a run of it, and no other can.
    RunMaterializationFailed,
}
}
