use std::collections::BTreeMap;

use capstan_domain::Change;
use capstan_domain::id::TaskId;
use capstan_domain::task::command::PayloadChange;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Changes something about a task. What is absent stays as it is; null clears what need not be there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UpdateTask {
    /// Id of the task.
    pub task_id: TaskId,
    /// `low`, `normal`, `high` or `urgent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<String>,
    /// Limit of what it may cost, in US dollars; null for none.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub budget_usd: Change<f64>,
    /// Changes to the payload of later runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_json: Option<TaskPayload>,
    /// Reply addressing, replaced as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routing_json: Option<Map<String, Value>>,
    /// A name for people; null for none.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub label: Change<String>,
    /// Names and values to filter by, replaced as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Deadline of the task; null removes it.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub deadline: Change<DateTime<Utc>>,
}

/// Changes to the payload of a task; absent fields keep their value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskPayload {
    /// The command's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Text added to the agent's system prompt; blank for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra_system_prompt: Option<String>,
    /// Objects handed to the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachments: Option<Vec<Map<String, Value>>>,
    /// Longest time one attempt may run, in milliseconds; 0 = none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<i64>,
    /// True to deliver the result to the routing address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deliver: Option<bool>,
}

impl From<TaskPayload> for PayloadChange {
    fn from(body: TaskPayload) -> Self {
        let TaskPayload { message, extra_system_prompt, attachments, timeout_ms, deliver } = body;
        Self { message, extra_system_prompt, attachments, timeout_ms, deliver }
    }
}
