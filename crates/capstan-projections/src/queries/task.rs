//! Reads of tasks.

use std::collections::BTreeMap;

use capstan_contract::query::WaitingReason;
use capstan_domain::id::{AgentId, TaskId};
use capstan_domain::task::TaskState;
use capstan_domain::task::event::Priority;

use crate::labels;
use crate::queries::QueryError;
use crate::queries::select::{Query, Select};
use crate::queries::span::Span;
use crate::read_models::ReadModels;

const TABLE: &str = "tasks";

/// The message is in the acceptance or, once changed, in the progress. Postgres does not parse a document that contains an
/// escaped NUL.
const TEXT_CONTAINS: &str = "strpos(lower(coalesce(label, '') || E'\\n' || \
    coalesce(replace(doc, '\\u0000', '\\ufffd')::json #>> '{progress,changes,payload,message}', \
             (SELECT replace(a.doc, '\\u0000', '\\ufffd')::json #>> '{accepted,message}' \
              FROM capstan.acceptances a WHERE a.id = t.id), '')), lower(?)) > 0";

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
        if !self.states.is_empty() && self.states.iter().all(|state| !state.is_terminal()) {
            // Open tasks are few and have an index.
            select.filter_plain("open");
        }
        select.filter_any("state", self.states.iter().map(|state| state.as_str()));
        select.filter_any("priority", self.priorities.iter().map(|priority| priority.as_str()));
        select.filter_some("agent_id = ?", self.agent_id.map(|id| id.0));
        select.filter_some("label = ?", self.label.as_deref().map(storable));
        for (name, value) in &self.labels {
            select.filter("strpos(labels, ?) > 0", labels::needle(name, value));
        }
        select.filter_some("parent_task_id = ?", self.parent_task_id.map(|id| id.0));
        select.filter_any("source_output_id", self.source_output_ids.iter().map(|id| storable(id)));
        select.filter_any("waiting_reason", self.waiting_reasons.iter().map(|reason| reason.as_str()));
        select.within("created_at", self.created);
        select.within("updated_at", self.updated);
        select.filter_some("archived = ?", self.archived);
        let text = self.text.as_deref().filter(|text| !text.is_empty()).map(storable);
        select.filter_some(TEXT_CONTAINS, text);
        select
    }
}

/// The open tasks of a workspace, or of one agent, oldest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenTasksOf {
    /// The agent; every agent when absent.
    pub agent_id: Option<AgentId>,
}

impl Query for OpenTasksOf {
    fn select(&self, workspace: &str) -> Select {
        let mut select = Select::all(TABLE, workspace);
        select.filter_plain("open");
        select.filter_some("agent_id = ?", self.agent_id.map(|id| id.0));
        select
    }
}

impl ReadModels {
    /// Ids of the open tasks of an agent, oldest first, at most `limit`.
    pub async fn open_tasks_of(
        &self,
        workspace: &str,
        agent_id: AgentId,
        limit: i64,
    ) -> Result<Vec<TaskId>, QueryError> {
        let sql = "SELECT id FROM capstan.tasks WHERE workspace = $1 AND open AND agent_id = $2 \
                   ORDER BY created_at, id LIMIT $3";
        let rows = self.rows(sql, &[&workspace, &agent_id.0, &limit]).await?;
        Ok(rows.iter().map(|row| TaskId(row.get(0))).collect())
    }
}

/// The text as Postgres stores it: without NUL characters.
pub(crate) fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
