use capstan_domain::id::TaskId;
use capstan_domain::task::event::OutputStatus;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Archives the outputs of a workspace that match every given filter.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ArchiveAllOutputs {
    /// Of this task.
    pub task_id: Option<TaskId>,
    /// Of this agent, by id or key.
    pub agent_id: Option<String>,
    /// Of this type.
    pub output_type: Option<String>,
    /// In this status.
    pub status: Option<OutputStatus>,
    /// Made earlier than this.
    pub created_before: Option<DateTime<Utc>>,
}
