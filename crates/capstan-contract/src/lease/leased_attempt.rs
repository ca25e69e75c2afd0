use capstan_domain::agent::ConfigVersion;
use capstan_domain::id::{AgentId, AttemptId, RunId, TaskId};
use capstan_domain::policy::RunPolicy;
use capstan_domain::task::event::RunCause;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A try at a run, with everything a worker needs to execute it.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LeasedAttempt {
    /// The attempt, and the fence of every call about it.
    pub attempt_id: AttemptId,
    /// The epoch of the lease.
    pub epoch: u64,
    /// Lifetime of the lease without renewal, in milliseconds.
    pub lease_ms: i64,
    /// Workspace of the task.
    pub workspace: String,
    /// The task.
    pub task_id: TaskId,
    /// The run.
    pub run_id: RunId,
    /// The run's number within the task, from 1.
    pub run_no: u32,
    /// The attempt's number within the run, from 1.
    pub attempt_no: u32,
    /// Id of the agent.
    pub agent_id: AgentId,
    /// The agent's key.
    pub agent_key: String,
    /// The agent's name.
    pub agent_name: String,
    /// Version and hash of the agent's configuration when the task was accepted.
    pub agent_config_version: ConfigVersion,
    /// The agent's configuration of that version.
    pub agent_config: Map<String, Value>,
    /// The model's provider.
    pub provider: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// Prompt for the agent.
    pub prompt: String,
    /// Reason the run was requested.
    #[serde(deserialize_with = "super::cause")]
    pub cause: RunCause,
    /// The conversation its runs share.
    pub session_id: String,
    /// A caller's name for the session.
    pub session_key: Option<String>,
    /// The run whose session it resumes.
    pub resumed_from_run_id: Option<RunId>,
    /// Rules of execution.
    pub policy: RunPolicy,
    /// Longest time the attempt may run, in milliseconds; 0 = none.
    pub timeout_ms: i64,
    /// Text added to the agent's system prompt.
    pub extra_system_prompt: Option<String>,
    /// Objects handed to the agent.
    #[serde(default)]
    pub attachments: Vec<Map<String, Value>>,
    /// Skills the agent is to use, as paths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skill_paths: Vec<String>,
    /// Display name.
    pub label: Option<String>,
    /// Source of the command.
    #[serde(default)]
    pub input_provenance: Map<String, Value>,
    /// Reply addressing.
    #[serde(default)]
    pub routing: Map<String, Value>,
    /// Deadline of the task.
    pub deadline: Option<DateTime<Utc>>,
}
