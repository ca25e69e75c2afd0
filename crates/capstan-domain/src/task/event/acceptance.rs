//! The acceptance of a task.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::priority::Priority;
use crate::id::{AgentId, TaskId};
use crate::implied::{self, At, Own, OwnWorkspace};
use crate::policy::RunPolicy;

stored! {
/// A command to an agent was accepted: the task begins. Everything a later run needs is frozen here.
pub struct TaskAccepted {
    /// The task.
    pub task_id: Own<TaskId>,
    /// Its workspace.
    pub workspace: OwnWorkspace,
    /// The schedule that made it.
    #[serde(default, with = "implied::schedule_id")]
    #[schemars(with = "Option<String>")]
    pub schedule_id: Option<String>,
    /// The occasion on which the schedule made it: the tick in seconds of Unix time, or a trigger.
    #[serde(default = "implied::triggered_occasion", with = "implied::occasion")]
    #[serde(skip_serializing_if = "implied::is_triggered_occasion")]
    #[schemars(with = "Option<String>", transform = implied::drawn)]
    pub occasion: Option<String>,
    /// The task this one was made for.
    #[serde(default, with = "implied::parent_task")]
    #[schemars(with = "Option<TaskId>")]
    pub parent_task_id: Option<TaskId>,
    /// The agent's key at acceptance.
    #[serde(with = "implied::agent_key")]
    #[schemars(with = "String")]
    pub agent_key: String,
    /// The agent of the task.
    #[serde(default = "implied::keyed_agent", with = "implied::agent")]
    #[serde(skip_serializing_if = "implied::is_keyed_agent")]
    #[schemars(with = "AgentId", transform = implied::drawn)]
    pub agent_id: AgentId,
    /// The agent's name at acceptance.
    pub agent_name: String,
    /// Number of the agent's configuration at acceptance; later edits of the agent do not change the task.
    pub agent_config_version: u64,
    /// The pool of workers that may execute it; any when absent.
    pub pool: Option<String>,
    /// Provider at acceptance.
    pub provider: Option<String>,
    /// Model at acceptance.
    pub model: Option<String>,
    /// The command's text.
    #[serde(with = "implied::scheduled_message")]
    #[schemars(with = "String")]
    pub message: String,
    /// The conversation its runs share.
    #[serde(default = "implied::session", skip_serializing_if = "implied::is_session")]
    #[schemars(transform = implied::drawn)]
    pub session_id: String,
    /// A caller's name for the session.
    pub session_key: Option<String>,
    /// Part of the execution class: tasks of one lane run one after another.
    #[serde(default = "implied::lane", with = "implied::said_lane", skip_serializing_if = "implied::is_lane")]
    #[schemars(with = "Option<String>", transform = implied::drawn)]
    pub lane: Option<String>,
    /// Rules of execution.
    #[serde(with = "implied::policy")]
    #[schemars(with = "crate::policy::based::Drawn")]
    pub policy: RunPolicy,
    /// Execution class: tasks of one class share a concurrency limit.
    #[serde(default = "implied::instance_key", skip_serializing_if = "implied::is_instance_key")]
    #[schemars(transform = implied::drawn)]
    pub instance_key: String,
    /// Longest time one attempt may run, in milliseconds; 0 = none.
    #[serde(default = "implied::timeout_ms", skip_serializing_if = "implied::is_timeout_ms")]
    #[schemars(transform = implied::drawn)]
    pub timeout_ms: i64,
    /// Its urgency.
    #[serde(default = "implied::priority", skip_serializing_if = "implied::is_priority")]
    #[schemars(transform = implied::drawn)]
    pub priority: Priority,
    /// Limit of what it may cost, in US dollars.
    #[serde(serialize_with = "crate::finite::serialize_option")]
    pub budget_usd: Option<f64>,
    /// The task at the top of its tree, whose budget it shares; absent at the top.
    #[serde(default = "implied::root_task", skip_serializing_if = "implied::is_root_task")]
    #[schemars(transform = implied::drawn)]
    pub root_task_id: Option<TaskId>,
    /// Depth in its tree; 0 at the root. That right below the root is not stored.
    #[serde(default = "implied::depth", skip_serializing_if = "implied::is_depth")]
    pub depth: u32,
    /// Its fate when its parent is cancelled.
    #[serde(default = "implied::parent_close", skip_serializing_if = "implied::is_parent_close")]
    pub parent_close: ParentClose,
    /// The output of the parent it was spawned for, as the parent's agent named it.
    pub source_output_id: Option<String>,
    /// The task of the same session it runs after.
    pub runs_after: Option<TaskId>,
    /// A name for people.
    #[serde(default = "implied::label", skip_serializing_if = "implied::is_label")]
    #[schemars(transform = implied::drawn)]
    pub label: Option<String>,
    /// Names and values to filter by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Reply addressing; free strings.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub routing: Map<String, Value>,
    /// Origin of the command; free strings. That of a schedule is not stored.
    #[serde(default = "implied::provenance", skip_serializing_if = "implied::is_provenance")]
    pub input_provenance: Map<String, Value>,
    /// Objects handed to the agent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Map<String, Value>>,
    /// Text added to the agent's system prompt.
    pub extra_system_prompt: Option<String>,
    /// True to deliver the result to the routing address.
    pub deliver: Option<bool>,
    /// The view it works for.
    pub source_view_id: Option<String>,
    /// The origin of the task.
    #[serde(default = "implied::spawned_by", skip_serializing_if = "implied::is_spawned_by")]
    #[schemars(transform = implied::drawn)]
    pub spawned_by: Option<String>,
    /// The hook that made it.
    pub hook_id: Option<String>,
    /// Skills the agent is to use, as paths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skill_paths: Vec<String>,
    /// The deadline.
    pub deadline: Option<DateTime<Utc>>,
    /// Longest wait for its first attempt, in milliseconds.
    pub queue_ttl_ms: Option<i64>,
    /// The requester, by actor name. It cannot approve its own requests.
    #[serde(default = "implied::client", skip_serializing_if = "implied::is_client")]
    #[schemars(transform = implied::drawn)]
    pub accepted_by: Option<String>,
    /// The time of acceptance.
    pub accepted_at: At,
}
}

impl TaskAccepted {
    /// The same acceptance with nothing but what matching, timers and budgets read, some 300 bytes: enough to fold the
    /// events that follow into a task that waits, runs and ends at the same instants, not enough to execute it.
    #[must_use]
    pub fn reduced(&self) -> Self {
        let Self {
            task_id,
            workspace,
            agent_id,
            pool,
            session_id,
            instance_key,
            policy,
            timeout_ms,
            priority,
            budget_usd,
            parent_task_id,
            root_task_id,
            depth,
            parent_close,
            runs_after,
            schedule_id,
            deadline,
            queue_ttl_ms,
            accepted_at,
            // Texts, names and what a worker is handed.
            agent_key: _,
            agent_name: _,
            agent_config_version: _,
            provider: _,
            model: _,
            message: _,
            session_key: _,
            lane: _,
            source_output_id: _,
            label: _,
            labels: _,
            routing: _,
            input_provenance: _,
            attachments: _,
            extra_system_prompt: _,
            deliver: _,
            source_view_id: _,
            spawned_by: _,
            hook_id: _,
            occasion: _,
            skill_paths: _,
            accepted_by: _,
        } = self;
        Self {
            task_id: *task_id,
            workspace: workspace.clone(),
            agent_id: *agent_id,
            agent_key: String::new(),
            agent_name: String::new(),
            agent_config_version: 0,
            pool: pool.clone(),
            provider: None,
            model: None,
            message: String::new(),
            session_id: session_id.clone(),
            session_key: None,
            lane: None,
            instance_key: instance_key.clone(),
            policy: policy.needs(),
            timeout_ms: *timeout_ms,
            priority: *priority,
            budget_usd: *budget_usd,
            parent_task_id: *parent_task_id,
            root_task_id: *root_task_id,
            depth: *depth,
            parent_close: *parent_close,
            source_output_id: None,
            runs_after: *runs_after,
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
            schedule_id: schedule_id.clone(),
            occasion: None,
            skill_paths: Vec::new(),
            deadline: *deadline,
            queue_ttl_ms: *queue_ttl_ms,
            accepted_by: None,
            accepted_at: *accepted_at,
        }
    }
}

/// The fate of a subtask when its parent is cancelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ParentClose {
    /// It is cancelled too.
    #[default]
    Cancel,
    /// It continues.
    Detach,
}
