//! Children of a task.

use serde_json::Value;

use super::priority::Priority;
use super::watch::SourceWatch;
use crate::id::{RunId, TaskId};
use crate::implied::{self, At};
use crate::policy::RunPolicy;
use crate::task::transitions::TaskState;

/// Levels below the root of a task tree.
pub const DEPTH_MAX: u32 = 8;

stored! {
/// A run requested subtasks; they are made from this, under these ids.
pub struct SubtasksSpawned {
    /// The run.
    pub run_id: RunId,
    /// The wait for them.
    #[serde(with = "implied::join")]
    #[schemars(with = "Join")]
    pub join: Join,
    /// The subtasks.
    pub subtasks: Vec<Subtask>,
    /// Time of the event.
    pub at: At,
}

/// One subtask as requested. Absent fields are inherited.
pub struct Subtask {
    /// Its place in the list, from 0.
    #[serde(default = "implied::next_place", with = "implied::place")]
    #[serde(skip_serializing_if = "implied::is_next_place")]
    #[schemars(with = "u32", transform = implied::drawn)]
    pub index: u32,
    /// Its task: derived from the run and its place in the list.
    #[serde(default = "implied::subtask", with = "implied::named_subtask")]
    #[serde(skip_serializing_if = "implied::is_subtask")]
    #[schemars(with = "TaskId", transform = implied::drawn)]
    pub task_id: TaskId,
    /// The prompt for its agent.
    #[serde(with = "implied::counted_prompt")]
    #[schemars(with = "String")]
    pub prompt: String,
    /// A name for people.
    pub label: Option<String>,
    /// The output it is about, as the parent's agent named it.
    pub source_output_id: Option<String>,
    /// Sleep before the first run, in milliseconds.
    pub dispatch_delay_ms: Option<i64>,
    /// Its urgency.
    pub priority: Option<Priority>,
    /// Limit of what it may cost, in US dollars.
    #[serde(serialize_with = "crate::finite::serialize_option")]
    pub budget_usd: Option<f64>,
    /// Rules of execution.
    #[serde(default, with = "crate::policy::based::option")]
    #[schemars(with = "Option<crate::policy::based::Drawn>")]
    pub policy: Option<RunPolicy>,
    /// Watches handed over to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub watches: Vec<SourceWatch>,
}

/// The subtasks a task waits for.
pub struct JoinWait {
    /// All of them or any.
    #[serde(default = "implied::requested_join", skip_serializing_if = "implied::is_requested_join")]
    #[schemars(transform = implied::drawn)]
    pub join: Join,
    /// The subtasks.
    #[serde(default = "implied::together", skip_serializing_if = "implied::is_together")]
    #[schemars(transform = implied::drawn)]
    pub task_ids: Vec<TaskId>,
}

/// A child ended.
pub struct SubtaskEnded {
    /// The child.
    pub task_id: TaskId,
    /// Its name for people.
    pub label: Option<String>,
    /// Number of its runs so far, zero if it was never made: with its outcome and cost, it tells one end of it from another.
    #[serde(default = "implied::first", skip_serializing_if = "implied::is_first")]
    #[schemars(transform = implied::drawn)]
    pub run_no: u32,
    /// Its outcome.
    pub state: TaskState,
    /// The result of its agent.
    #[serde(default, with = "implied::result_told")]
    #[schemars(with = "Option<Value>")]
    pub result: Option<Value>,
    /// The error, for people.
    #[serde(default, with = "implied::optional_told")]
    #[schemars(with = "Option<String>")]
    pub error: Option<String>,
    /// Cost of its whole tree, in US dollars.
    #[serde(serialize_with = "crate::finite::serialize")]
    pub cost_usd: f64,
    /// Time of the event.
    pub at: At,
}

/// The parent knows the end of this task.
pub struct ParentTold {
    /// Time of the event.
    pub at: At,
}
}

choice! {
/// The wait of a task for its subtasks.
pub enum Join {
    /// It does not.
    None = "none",
    /// For all of them.
    All = "all",
    /// For the first.
    Any = "any",
}
}

impl SubtasksSpawned {
    /// The wait that follows from the request, if the task is to wait.
    pub(crate) fn join_wait(&self) -> Option<JoinWait> {
        let task_ids = self.subtasks.iter().map(|subtask| subtask.task_id).collect();
        (self.join != Join::None).then_some(JoinWait { join: self.join, task_ids })
    }
}
