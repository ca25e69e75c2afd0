//! Reads of tasks.

use std::collections::BTreeMap;

use capstan_domain::id::{AgentId, TaskId};
use capstan_domain::task::TaskState;
use capstan_domain::task::event::Priority;

use crate::catalogue::tasks::WaitingReason;
use crate::labels;
use crate::queries::cursor::Page;
use crate::queries::select::{Direction, Select};
use crate::queries::span::Span;
use crate::queries::{Item, Listing, QueryError};
use crate::read_models::ReadModels;

/// The message stands in the document only: a column of its own would write it once more with every change of a task.
/// Postgres reads no document in which a character is escaped as NUL.
const TEXT_CONTAINS: &str = "strpos(lower(coalesce(label, '') || E'\\n' || \
    (replace(doc, '\\u0000', '\\ufffd')::json ->> 'message')), lower(?)) > 0";

/// Which tasks to list; everything that is given must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskFilter {
    /// In one of these states; any when empty.
    pub states: Vec<TaskState>,
    /// Of this agent.
    pub agent_id: Option<AgentId>,
    /// Of one of these priorities; any when empty.
    pub priorities: Vec<Priority>,
    /// With exactly this label.
    pub label: Option<String>,
    /// With all of these names and values among its labels.
    pub labels: BTreeMap<String, String>,
    /// Made for this task.
    pub parent_task_id: Option<TaskId>,
    /// Made for one of these outputs of their parents; any when empty.
    pub source_output_ids: Vec<String>,
    /// Waiting for one of these reasons; waiting or not when empty.
    pub waiting_reasons: Vec<WaitingReason>,
    /// Created in this span.
    pub created: Span,
    /// Changed last in this span.
    pub updated: Span,
    /// Archived, or not; both when absent.
    pub archived: Option<bool>,
    /// With this text in label or message, whatever the case.
    pub text: Option<String>,
}

impl ReadModels {
    /// A task.
    pub async fn task(&self, workspace: &str, id: TaskId) -> Result<Option<Item>, QueryError> {
        let mut select = Select::of("tasks", workspace, "created_at");
        select.filter("id = ?", id.0);
        select.one(self).await
    }

    /// How many tasks are not over, of one agent or of all; counted no further than `limit`.
    pub async fn count_open_tasks(
        &self,
        workspace: &str,
        agent_id: Option<AgentId>,
        limit: u64,
    ) -> Result<u64, QueryError> {
        let mut select = Select::of("tasks", workspace, "created_at");
        select.filter_plain("open");
        select.filter_some("agent_id = ?", agent_id.map(|id| id.0));
        select.count(self, limit).await
    }

    /// The tasks of an agent that are not over, at most `limit`.
    pub async fn open_tasks_of(
        &self,
        workspace: &str,
        agent_id: AgentId,
        limit: i64,
    ) -> Result<Vec<TaskId>, QueryError> {
        let client = self.client().await?;
        let sql = "SELECT id FROM capstan.tasks WHERE workspace = $1 AND open AND agent_id = $2 \
                   ORDER BY created_at, id LIMIT $3";
        let statement = client.prepare_cached(sql).await.map_err(QueryError::unavailable)?;
        let rows = client
            .query(&statement, &[&workspace, &agent_id.0, &limit])
            .await
            .map_err(QueryError::unavailable)?;
        Ok(rows.iter().map(|row| TaskId(row.get(0))).collect())
    }

    /// Tasks, newest first.
    pub async fn tasks(
        &self,
        workspace: &str,
        filter: &TaskFilter,
        page: &Page,
    ) -> Result<Listing, QueryError> {
        let mut select = Select::of("tasks", workspace, "created_at");
        if !filter.states.is_empty() {
            if filter.states.iter().all(|state| !state.is_terminal()) {
                // Tasks that are not over are few and have an index of their own.
                select.filter_plain("open");
            }
            let states: Vec<&'static str> = filter.states.iter().map(|state| state.as_str()).collect();
            select.filter("state = ANY(?)", states);
        }
        if !filter.priorities.is_empty() {
            let priorities: Vec<String> = filter.priorities.iter().map(|priority| word(*priority)).collect();
            select.filter("priority = ANY(?)", priorities);
        }
        select.filter_some("agent_id = ?", filter.agent_id.map(|id| id.0));
        select.filter_some("label = ?", filter.label.as_deref().map(storable));
        for (name, value) in &filter.labels {
            select.filter("strpos(labels, ?) > 0", labels::needle(name, value));
        }
        select.filter_some("parent_task_id = ?", filter.parent_task_id.map(|id| id.0));
        if !filter.source_output_ids.is_empty() {
            let ids: Vec<String> = filter.source_output_ids.iter().map(|id| storable(id)).collect();
            select.filter("source_output_id = ANY(?)", ids);
        }
        if !filter.waiting_reasons.is_empty() {
            let reasons: Vec<&'static str> =
                filter.waiting_reasons.iter().map(|reason| reason.as_str()).collect();
            select.filter("waiting_reason = ANY(?)", reasons);
        }
        select.within("created_at", filter.created);
        select.within("updated_at", filter.updated);
        select.filter_some("archived = ?", filter.archived);
        let text = filter.text.as_deref().filter(|text| !text.is_empty()).map(storable);
        select.filter_some(TEXT_CONTAINS, text);
        select.page(self, page, Direction::NewestFirst).await
    }
}

/// Text as it was stored.
pub(crate) fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn word(priority: Priority) -> String {
    format!("{priority:?}").to_lowercase()
}
