//! State changes of a task, and changes of its properties.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::priority::Priority;
use crate::change::Change;
use crate::id::RunId;
use crate::implied::{self, At};

stored! {
/// The answer reached the live attempt: the task continues.
pub struct TaskContinued {
    /// The run that continues.
    pub run_id: RunId,
    /// Time of the event.
    pub at: At,
}

/// The task sleeps until a timer or an input wakes it.
pub struct TaskSlept {
    /// The instant of its wake timer.
    pub wake_at: DateTime<Utc>,
    /// The reason for the sleep.
    pub reason: Option<String>,
    /// The prompt for the agent when the timer wakes it.
    pub follow_up_prompt: Option<String>,
    /// The agenda of the wake.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agenda: Vec<AgendaItem>,
    /// The time it fell asleep.
    pub at: At,
}

/// One thing planned for a wake.
pub struct AgendaItem {
    /// The type of the item.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// A name for people.
    pub title: Option<String>,
    /// The reason, for people.
    pub reason: Option<String>,
}

/// The task succeeded.
pub struct TaskDone {
    /// Time of the event.
    pub at: At,
}

/// The task ended in an error.
pub struct TaskFailed {
    /// The error, for people.
    #[serde(default = "implied::failure", skip_serializing_if = "implied::is_failure")]
    #[schemars(transform = implied::drawn)]
    pub error: String,
    /// Time of the event.
    pub at: At,
}

/// The task was cancelled.
pub struct TaskCancelled {
    /// The reason the caller gave.
    #[serde(default = "implied::error", skip_serializing_if = "implied::is_error")]
    #[schemars(transform = implied::drawn)]
    pub reason: Option<String>,
    /// Time of the event.
    pub at: At,
}

/// The task left the queue without a result.
pub struct TaskDropped {
    /// The reason, for people.
    pub reason: DropReason,
    /// Time of the event.
    pub at: At,
}

/// The task was archived; it refuses every command but its return.
pub struct TaskArchived {
    /// Time of the event.
    pub at: At,
}

/// The task was taken out of the archive.
pub struct TaskUnarchived {
    /// Time of the event.
    pub at: At,
}

/// The task's urgency was changed.
pub struct TaskReprioritised {
    /// The urgency from now on.
    pub priority: Priority,
    /// Time of the event.
    pub at: At,
}

/// The limit of what the task may cost was changed.
pub struct TaskBudgetSet {
    /// The limit from now on, in US dollars; absent means none.
    #[serde(serialize_with = "crate::finite::serialize_option")]
    pub budget_usd: Option<f64>,
    /// Time of the event.
    pub at: At,
}

/// The label of the task, or its labels, were changed; an absent field stays as it is.
pub struct TaskLabelled {
    /// The name for people from now on; `null` for none.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub label: Change<String>,
    /// The names and values to filter by from now on.
    pub labels: Option<BTreeMap<String, String>>,
    /// Time of the event.
    pub at: At,
}

/// The instant at which the task must be over was changed.
pub struct TaskDeadlineSet {
    /// The instant from now on; absent means none.
    pub deadline: Option<DateTime<Utc>>,
    /// Time of the event.
    pub at: At,
}

/// The reply addressing was changed.
pub struct TaskRoutingSet {
    /// The addressing from now on.
    pub routing: Map<String, Value>,
    /// Time of the event.
    pub at: At,
}

/// The payload of later runs was changed; absent fields stay as they are.
pub struct TaskPayloadSet {
    /// The command's text.
    pub message: Option<String>,
    /// Text added to the agent's system prompt.
    pub extra_system_prompt: Option<String>,
    /// Objects handed to the agent.
    pub attachments: Option<Vec<Map<String, Value>>>,
    /// Longest time one attempt may run, in milliseconds; 0 = none.
    pub timeout_ms: Option<i64>,
    /// True to deliver the result to the routing address.
    pub deliver: Option<bool>,
    /// Time of the event.
    pub at: At,
}
}

choice! {
/// The reason a task was dropped.
pub enum DropReason {
    /// It waited longer than its queue TTL.
    QueueTtl = "queue_ttl",
    /// Too many attempts were lost.
    DispatchRetryExhausted = "dispatch_retry_exhausted",
    /// The worker could not make a run of it, and no other can.
    RunMaterializationFailed = "run_materialization_failed",
}
}
