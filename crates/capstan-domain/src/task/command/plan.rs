//! What a run leaves behind for others: children, watches, and how they report back.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::id::TaskId;
use crate::policy::RunPolicy;
use crate::task::event::{Join, SourceWatch};
use crate::task::transitions::TaskState;

/// Children to make and things to watch when an attempt ended well.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FanOut {
    /// Children to make; those without a prompt are dropped.
    pub subtasks: Vec<SubtaskSpec>,
    /// Whether the task waits for them; it does not when absent.
    pub join: Option<Join>,
    /// What to wait for outside; those that name no place to look are dropped. Absent, what was watched before stays
    /// watched; an empty list ends it.
    pub watches: Option<Vec<SourceWatch>>,
}

/// A child to make. What is absent is inherited.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SubtaskSpec {
    /// What its agent is told.
    pub prompt: String,
    /// A name for people.
    pub label: Option<String>,
    /// The output it is about, as the parent's agent named it.
    pub source_output_id: Option<String>,
    /// Sleep this long first, in minutes.
    pub wake_delay_minutes: Option<i64>,
    /// `low`, `normal`, `high`, `urgent`, in any case.
    pub priority: Option<String>,
    /// Limit in US dollars; never more than the parent has left.
    pub budget_usd: Option<f64>,
    /// Rules of execution.
    pub policy: Option<RunPolicy>,
}

/// A child tells its parent how it ended.
#[derive(Clone, Debug, PartialEq)]
pub struct ChildEnded {
    /// The child.
    pub task_id: TaskId,
    /// Its name for people.
    pub label: Option<String>,
    /// How it ended.
    pub state: TaskState,
    /// What its agent answered.
    pub result: Option<Value>,
    /// What went wrong.
    pub error: Option<String>,
    /// What it and everything below it cost, in US dollars.
    pub cost_usd: f64,
    /// When.
    pub at: DateTime<Utc>,
}

/// The parent knows how this task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParentHeard {
    /// When.
    pub at: DateTime<Utc>,
}

/// Something happened outside (`PublishSourceEvent`) that this task may watch for.
#[derive(Clone, Debug, PartialEq)]
pub struct FireWatch {
    /// Where it happened.
    pub integration: String,
    /// What it is about: threads, messages, things, queries.
    pub correlation_keys: Vec<String>,
    /// What is new; the same items in any order are the same event.
    pub items: Vec<Value>,
    /// What kind of event it is.
    pub event_type: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}
