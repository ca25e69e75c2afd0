//! The command that makes a task.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::agent::AgentForTask;
use crate::finite::AMOUNT_MAX;
use crate::id::TaskId;
use crate::policy::RunPolicy;
use crate::session::SessionModeWord;
use crate::span::SPAN_MS_MAX;
use crate::task::event::{ParentClose, SourceWatch};
use crate::task::words::PriorityWord;

/// Most attachments of a command.
pub(crate) const ATTACHMENTS_MAX: usize = 100;
/// Longest attachment as JSON text, in bytes.
pub(crate) const ATTACHMENT_BYTES_MAX: usize = 256 << 10;

/// Creates a task for an agent.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AcceptAgentCommand {
    /// Instruction for the agent.
    pub message: String,
    /// The agent, by id or key.
    pub agent_id: String,
    /// Conversation shared by the task's runs; a new one when absent.
    pub session_id: Option<String>,
    /// Handling on a session that has a task: `followup` (default: an input of that task), `queue` (a task
    /// that runs after it), `steer`, `steer-backlog` or `interrupt` (such an input), `reject` (refused while it is open).
    #[schemars(with = "Option<SessionModeWord>")]
    pub queue_mode: Option<String>,
    /// A name for the session.
    pub session_key: Option<String>,
    /// Tasks of one lane run one after another.
    pub lane: Option<String>,
    /// Rules of execution.
    pub policy: Option<RunPolicy>,
    /// Longest time one attempt may run, in milliseconds; 0 = none.
    #[schemars(range(min = 0, max = SPAN_MS_MAX))]
    pub timeout_ms: Option<i64>,
    /// `low`, `normal`, `high` or `urgent`.
    #[schemars(with = "Option<PriorityWord>")]
    pub priority: Option<String>,
    /// Cost limit, in US dollars.
    #[schemars(range(min = 0.0, max = AMOUNT_MAX))]
    pub budget_usd: Option<f64>,
    /// Parent task.
    pub parent_task_id: Option<TaskId>,
    /// Handling when its parent is cancelled: `cancel` (default) or `detach`.
    pub parent_close: Option<ParentClose>,
    /// Display name.
    pub label: Option<String>,
    /// Names and values to filter by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Reply addressing.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub routing: Map<String, Value>,
    /// Source of the command.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub input_provenance: Map<String, Value>,
    /// Objects handed to the agent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = ATTACHMENTS_MAX))]
    pub attachments: Vec<Map<String, Value>>,
    /// Text added to the agent's system prompt.
    pub extra_system_prompt: Option<String>,
    /// True to deliver the result to the routing address.
    pub deliver: Option<bool>,
    /// The view it works for.
    pub source_view_id: Option<String>,
    /// Name of what created the task, free.
    pub spawned_by: Option<String>,
    /// The hook that made it.
    pub hook_id: Option<String>,
    /// Sleep this long first, in milliseconds.
    #[schemars(range(min = 0, max = SPAN_MS_MAX))]
    pub dispatch_delay_ms: Option<i64>,
    /// Earliest start time.
    pub not_before: Option<DateTime<Utc>>,
    /// Deadline of the task.
    pub deadline: Option<DateTime<Utc>>,
    /// Longest wait for the first attempt, in milliseconds.
    #[schemars(range(min = 1, max = SPAN_MS_MAX))]
    pub queue_ttl_ms: Option<i64>,
}

/// A command to an agent, as the task decides on it: what the caller sent, and the facts beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct Accept {
    /// The command as the caller sent it.
    pub command: AcceptAgentCommand,
    /// The task to make.
    pub task_id: TaskId,
    /// The agent as looked up; the task is in its workspace.
    pub agent: AgentForTask,
    /// Rules of execution of the workspace, for a command without its own.
    pub default_policy: Option<RunPolicy>,
    /// The parent, and whether it was found open in the same workspace.
    pub parent: Option<Parent>,
    /// The output of the parent it was spawned for, as the parent's agent named it.
    pub source_output_id: Option<String>,
    /// The task of the same session it runs after.
    pub runs_after: Option<TaskId>,
    /// The schedule that made it.
    pub schedule_id: Option<String>,
    /// The occasion on which it did.
    pub occasion: Option<String>,
    /// Skills the agent is to use, as paths.
    pub skill_paths: Vec<String>,
    /// Watches from the beginning.
    pub watches: Vec<SourceWatch>,
    /// Longest message, in bytes.
    pub message_bytes_max: usize,
    /// The caller, by actor name.
    pub accepted_by: Option<String>,
}

/// Longest message when nothing else is configured, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 256 * 1024;

impl Accept {
    /// A command with nothing but what every command has.
    pub fn new(task_id: TaskId, agent: impl Into<AgentForTask>, command: AcceptAgentCommand) -> Self {
        Self {
            command,
            task_id,
            agent: agent.into(),
            default_policy: None,
            parent: None,
            source_output_id: None,
            runs_after: None,
            schedule_id: None,
            occasion: None,
            skill_paths: Vec::new(),
            watches: Vec::new(),
            message_bytes_max: MESSAGE_BYTES_MAX,
            accepted_by: None,
        }
    }
}

/// The parent a command names, as looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The parent as named.
    pub task_id: TaskId,
    /// The task at the top of the parent's tree; the parent itself when it has no parent.
    pub root_task_id: TaskId,
    /// Depth of the parent in its tree; 0 at the root.
    pub depth: u32,
    /// True when it exists in the same workspace and is not over.
    pub is_open: bool,
}
