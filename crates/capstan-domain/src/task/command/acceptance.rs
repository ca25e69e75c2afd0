//! The command that makes a task.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::agent;
use crate::id::TaskId;
use crate::policy::RunPolicy;
use crate::task::event::{ParentClose, SourceWatch};

/// Accepts a command to an agent (`AcceptAgentCommand`).
#[derive(Clone, Debug, PartialEq)]
pub struct Accept {
    /// The task to make.
    pub task_id: TaskId,
    /// The workspace.
    pub workspace: String,
    /// The agent as looked up.
    pub agent: agent::Created,
    /// The text.
    pub message: String,
    /// The session; fresh when the caller gave none.
    pub session_id: String,
    /// A caller's name for the session.
    pub session_key: Option<String>,
    /// Part of the execution class.
    pub lane: Option<String>,
    /// Rules of execution as given.
    pub policy: Option<RunPolicy>,
    /// Longest attempt in milliseconds; 600 000 when absent, 0 = none.
    pub timeout_ms: Option<i64>,
    /// `low`, `normal`, `high`, `urgent`, in any case; normal when absent.
    pub priority: Option<String>,
    /// Limit in US dollars.
    pub budget_usd: Option<f64>,
    /// The parent, and whether it was found open in the same workspace.
    pub parent: Option<Parent>,
    /// Its fate when its parent is cancelled.
    pub parent_close: ParentClose,
    /// The output of the parent it was spawned for, as the parent's agent named it.
    pub source_output_id: Option<String>,
    /// The task of the same session it runs after.
    pub runs_after: Option<TaskId>,
    /// The schedule that made it.
    pub schedule_id: Option<String>,
    /// Skills the agent is to use, as paths.
    pub skill_paths: Vec<String>,
    /// A name for people.
    pub label: Option<String>,
    /// Names and values to filter by.
    pub labels: BTreeMap<String, String>,
    /// Reply addressing.
    pub routing: Map<String, Value>,
    /// Origin of the command.
    pub input_provenance: Map<String, Value>,
    /// Objects handed to the agent.
    pub attachments: Vec<Map<String, Value>>,
    /// Text added to the system prompt.
    pub extra_system_prompt: Option<String>,
    /// True to deliver the result to the routing address.
    pub deliver: Option<bool>,
    /// The view it works for.
    pub source_view_id: Option<String>,
    /// The origin of the task.
    pub spawned_by: Option<String>,
    /// The hook that made it.
    pub hook_id: Option<String>,
    /// Sleep this long first, in milliseconds.
    pub dispatch_delay_ms: Option<i64>,
    /// Sleep until then first.
    pub not_before: Option<DateTime<Utc>>,
    /// The deadline.
    pub deadline: Option<DateTime<Utc>>,
    /// Longest wait for its first attempt, in milliseconds.
    pub queue_ttl_ms: Option<i64>,
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
    /// A command with nothing but what every command has: its session is the task's own.
    pub fn new(task_id: TaskId, agent: agent::Created, message: impl Into<String>) -> Self {
        Self {
            task_id,
            workspace: agent.workspace.clone(),
            agent,
            message: message.into(),
            session_id: task_id.to_string(),
            session_key: None,
            lane: None,
            policy: None,
            timeout_ms: None,
            priority: None,
            budget_usd: None,
            parent: None,
            parent_close: ParentClose::default(),
            source_output_id: None,
            runs_after: None,
            schedule_id: None,
            skill_paths: Vec::new(),
            label: None,
            labels: BTreeMap::new(),
            routing: Map::new(),
            input_provenance: Map::new(),
            attachments: Vec::new(),
            extra_system_prompt: None,
            deliver: None,
            source_view_id: None,
            spawned_by: None,
            hook_id: None,
            dispatch_delay_ms: None,
            not_before: None,
            deadline: None,
            queue_ttl_ms: None,
            message_bytes_max: MESSAGE_BYTES_MAX,
            accepted_by: None,
            watches: Vec::new(),
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
