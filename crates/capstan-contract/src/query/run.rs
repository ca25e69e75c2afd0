use capstan_domain::id::{RunId, TaskId};
use capstan_domain::task::event::RunStatus;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::AsOf;

/// Lists the runs of a workspace, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListRuns {
    /// Agent id, key or similar name.
    pub agent_id: Option<String>,
    /// Accepted statuses; any when empty.
    #[serde(default)]
    pub status: Vec<RunStatus>,
    /// Id of the task.
    pub task_id: Option<TaskId>,
    /// Id of the session.
    pub session_id: Option<String>,
    /// Created after this instant.
    pub created_after: Option<DateTime<Utc>>,
    /// Created before this instant.
    pub created_before: Option<DateTime<Utc>>,
    /// Changed after this instant.
    pub updated_after: Option<DateTime<Utc>>,
    /// Changed before this instant.
    pub updated_before: Option<DateTime<Utc>>,
}

/// Reads a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetRun {
    /// Id of the run.
    pub run_id: RunId,
    /// State at this log position or instant, as in 2026-01-02T03:04:05Z.
    pub as_of: Option<AsOf>,
}

/// Lists the states of a run after each change, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListRunSnapshots {
    /// Id of the run.
    pub run_id: RunId,
    /// Page size, 50 by default; a value beyond 1 to 500 counts as the nearest one.
    pub limit: Option<u32>,
    /// The `next_cursor` of the previous page.
    pub cursor: Option<u32>,
}

/// Lists the steps of the agent of a run, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListRunEvents {
    /// Id of the run.
    pub run_id: RunId,
    /// Page size, 50 by default; a value beyond 1 to 500 counts as the nearest one.
    pub limit: Option<u32>,
    /// The `next_cursor` of the previous page.
    pub cursor: Option<u64>,
}

/// Reads the interaction state of a run: working, waiting for input or closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetRunInteraction {
    /// Id of the run.
    pub run_id: RunId,
}
