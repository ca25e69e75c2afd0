//! Subtasks of a run, and the reports of subtasks and watches.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::finite::AMOUNT_MAX;
use crate::id::TaskId;
use crate::policy::RunPolicy;
use crate::span::SPAN_MS_MAX;
use crate::task::transitions::TaskState;
use crate::task::words::PriorityWord;

/// A subtask to make. What is absent is inherited.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SubtaskSpec {
    /// Prompt of the subtask; must not be blank.
    #[serde(default)]
    pub prompt: String,
    /// Display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The same as `label`, which wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity_label: Option<String>,
    /// The output it is about, as the agent names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_output_id: Option<String>,
    /// Sleep this long first, in minutes; 0 is no sleep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = SPAN_MS_MAX / 60_000))]
    pub wake_delay_minutes: Option<i64>,
    /// `low`, `normal`, `high` or `urgent`, in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<PriorityWord>")]
    pub priority: Option<String>,
    /// Limit in US dollars; never more than the parent has left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = AMOUNT_MAX))]
    pub budget_usd: Option<f64>,
    /// Rules of execution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<RunPolicy>,
}

/// A subtask reports its end to its parent.
#[derive(Clone, Debug, PartialEq)]
pub struct ChildEnded {
    /// The child.
    pub task_id: TaskId,
    /// Its name for people.
    pub label: Option<String>,
    /// Number of its runs so far: it may be opened again, and end again with a later one.
    pub run_no: u32,
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

/// An event of an external source: it wakes the tasks of the workspace that watch for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PublishSourceEvent {
    /// Integration the event comes from.
    pub integration: String,
    /// Keys of the threads, messages, entities and queries the event concerns.
    pub correlation_keys: Vec<String>,
    /// New items. The same items, in any order, are the same event.
    pub items: Vec<Value>,
    /// Type of the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
}

/// A source event in normal form, which a watch of this task may match.
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
