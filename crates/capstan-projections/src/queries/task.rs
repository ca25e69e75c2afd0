//! Reads of tasks.

use std::collections::BTreeMap;

use capstan_contract::query::WaitingReason;
use capstan_domain::id::{AgentId, TaskId};
use capstan_domain::task::TaskState;
use capstan_domain::task::event::Priority;

use crate::queries::QueryError;
use crate::queries::select::{Query, Select};
use crate::queries::span::Span;
use crate::read_models::ReadModels;
use crate::search::texts::Sought;

const TABLE: &str = "tasks";

/// Tasks, newest first. All conditions must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskFilter {
    /// Accepted states; any when empty.
    pub states: Vec<TaskState>,
    /// The agent.
    pub agent_id: Option<AgentId>,
    /// Accepted priorities; any when empty.
    pub priorities: Vec<Priority>,
    /// The exact label.
    pub label: Option<String>,
    /// Names and values that must all be among the labels.
    pub labels: BTreeMap<String, String>,
    /// The parent task.
    pub parent_task_id: Option<TaskId>,
    /// Accepted source outputs; any when empty.
    pub source_output_ids: Vec<String>,
    /// Accepted waiting reasons; any task when empty.
    pub waiting_reasons: Vec<WaitingReason>,
    /// Time of creation.
    pub created: Span,
    /// Time of the last change.
    pub updated: Span,
    /// Archived or not; both when absent.
    pub archived: Option<bool>,
    /// Text in label or message, ignoring case.
    pub text: Option<String>,
}

impl Query for TaskFilter {
    fn select(&self, workspace: &str) -> Select {
        let mut select = Select::all(TABLE, workspace).newest_first();
        // These have an index in the order of the list.
        let is_narrow = self.label.is_some()
            || self.parent_task_id.is_some()
            || !self.source_output_ids.is_empty()
            || self.priorities.iter().any(|priority| *priority != Priority::Normal)
            || !self.waiting_reasons.is_empty();
        if !self.states.is_empty() {
            select.each_word("state", self.states.iter().map(|state| state.as_str()));
        } else if !is_narrow {
            select.each_word("state", TaskState::ALL.map(TaskState::as_str));
        }
        select.each_flag("archived", self.archived);
        if !self.priorities.is_empty() {
            select.each_word("priority", self.priorities.iter().map(|priority| priority.as_str()));
        }
        if !self.waiting_reasons.is_empty() {
            select.each_word("waiting_reason", self.waiting_reasons.iter().map(|reason| reason.as_str()));
        }
        select.filter_some("agent_id = ?", self.agent_id.map(|id| id.0));
        select.filter_some("label = ?", self.label.as_deref().map(storable));
        select.filter_some("parent_task_id = ?", self.parent_task_id.map(|id| id.0));
        select.filter_any("source_output_id", self.source_output_ids.iter().map(|id| storable(id)));
        select.within("created_at", self.created);
        if is_narrow || self.states.len() > 1 {
            select.plan_by_value();
        }
        select.updated_within(self.updated);
        select.seek(Sought::new(self.text.as_deref(), &self.labels));
        select
    }
}

/// The open tasks of an agent, oldest first.
struct OpenTasksOf(AgentId);

impl Query for OpenTasksOf {
    fn select(&self, workspace: &str) -> Select {
        let mut select = Select::all(TABLE, workspace);
        select.each_word("state", open_states());
        select.each_flag("archived", None);
        select.filter("agent_id = ?", self.0.0);
        select
    }
}

fn open_states() -> impl Iterator<Item = &'static str> {
    TaskState::ALL.into_iter().filter(|state| !state.is_terminal()).map(TaskState::as_str)
}

impl ReadModels {
    /// Ids of the open tasks of an agent, oldest first, at most `limit`.
    pub async fn open_tasks_of(
        &self,
        workspace: &str,
        agent_id: AgentId,
        limit: i64,
    ) -> Result<Vec<TaskId>, QueryError> {
        let ids = OpenTasksOf(agent_id).select(workspace).ids(self, limit).await?;
        Ok(ids.into_iter().map(TaskId).collect())
    }

    /// The number of open tasks of a workspace, or of one agent in it.
    pub async fn count_open_tasks(
        &self,
        workspace: &str,
        agent_id: Option<AgentId>,
    ) -> Result<u64, QueryError> {
        let sql = "SELECT coalesce(sum(counted), 0)::bigint FROM capstan.task_counts \
                   WHERE workspace = $1 AND ($2::uuid IS NULL OR agent_id = $2) AND state = ANY($3)";
        let states: Vec<_> = open_states().collect();
        let rows = self.rows(sql, &[&workspace, &agent_id.map(|id| id.0), &states]).await?;
        Ok(rows.first().map_or(0, |row| row.get::<_, i64>(0) as u64))
    }
}

/// The text as Postgres stores it: without NUL characters.
pub(crate) fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
