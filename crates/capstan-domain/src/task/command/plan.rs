//! Subtasks and watches of a run, and their reports.

use serde_json::Value;

use crate::id::TaskId;
use crate::policy::RunPolicy;
use crate::task::event::{Join, SourceWatch};
use crate::task::transitions::TaskState;

/// Subtasks to make and sources to watch when an attempt succeeded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FanOut {
    /// Subtasks to make; those without a prompt are dropped.
    pub subtasks: Vec<SubtaskSpec>,
    /// The wait for them; none when absent.
    pub join: Option<Join>,
    /// Watches to arm; a watch that names nothing to look for is dropped. Absent keeps the earlier watches; an empty list
    /// ends them.
    pub watches: Option<Vec<SourceWatch>>,
}

/// A subtask to make. Absent fields are inherited.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SubtaskSpec {
    /// The prompt for its agent.
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

/// A subtask reports its end to its parent.
#[derive(Clone, Debug, PartialEq)]
pub struct ChildEnded {
    /// The child.
    pub task_id: TaskId,
    /// Its name for people.
    pub label: Option<String>,
    /// Its outcome.
    pub state: TaskState,
    /// The result of its agent.
    pub result: Option<Value>,
    /// The error, for people.
    pub error: Option<String>,
    /// Cost of its whole tree, in US dollars.
    pub cost_usd: f64,
}

/// The parent knows the end of this task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParentHeard;

/// A source event (`PublishSourceEvent`) that a watch of this task may match.
#[derive(Clone, Debug, PartialEq)]
pub struct FireWatch {
    /// The integration it happened in.
    pub integration: String,
    /// Ids of the threads, messages, entities and queries it is about.
    pub correlation_keys: Vec<String>,
    /// The new items; the same items in any order are the same event.
    pub items: Vec<Value>,
    /// The type of the event.
    pub event_type: Option<String>,
}
