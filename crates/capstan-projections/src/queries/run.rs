//! Reads of runs.

use capstan_domain::id::{AgentId, RunId, TaskId};
use capstan_domain::task::event::RunStatus;
use uuid::Uuid;

use crate::queries::cursor::Page;
use crate::queries::select::{Direction, Select};
use crate::queries::span::Span;
use crate::queries::task::storable;
use crate::queries::{Item, Listing, QueryError};
use crate::read_models::ReadModels;

/// Which runs to list; everything that is given must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunFilter {
    /// In one of these states; any when empty.
    pub statuses: Vec<RunStatus>,
    /// Of this agent.
    pub agent_id: Option<AgentId>,
    /// Of this task.
    pub task_id: Option<TaskId>,
    /// Of this session.
    pub session_id: Option<String>,
    /// Asked for in this span.
    pub created: Span,
    /// Changed last in this span.
    pub updated: Span,
}

impl ReadModels {
    /// A run.
    pub async fn run(&self, workspace: &str, id: RunId) -> Result<Option<Item>, QueryError> {
        let mut select = Select::of("runs", workspace, "created_at");
        select.filter("id = ?", id.0);
        select.one(self).await
    }

    /// Runs, newest first.
    pub async fn runs(
        &self,
        workspace: &str,
        filter: &RunFilter,
        page: &Page,
    ) -> Result<Listing, QueryError> {
        let mut select = Select::of("runs", workspace, "created_at");
        if !filter.statuses.is_empty() {
            let statuses: Vec<&'static str> = filter.statuses.iter().map(|status| status.as_str()).collect();
            select.filter("status = ANY(?)", statuses);
        }
        select.filter_some("agent_id = ?", filter.agent_id.map(|id| id.0));
        select.filter_some("task_id = ?", filter.task_id.map(|id| id.0));
        select.filter_some("session_id = ?", filter.session_id.as_deref().map(storable));
        select.within("created_at", filter.created);
        select.within("updated_at", filter.updated);
        select.page(self, page, Direction::NewestFirst).await
    }

    /// The task of a run.
    pub async fn task_of_run(&self, workspace: &str, id: RunId) -> Result<Option<TaskId>, QueryError> {
        self.task_of("runs", workspace, id.0).await
    }

    pub(crate) async fn task_of(
        &self,
        table: &'static str,
        workspace: &str,
        id: Uuid,
    ) -> Result<Option<TaskId>, QueryError> {
        let client = self.client().await?;
        let sql = format!("SELECT task_id FROM capstan.{table} WHERE workspace = $1 AND id = $2");
        let statement = client.prepare_cached(&sql).await.map_err(QueryError::unavailable)?;
        let row = client.query_opt(&statement, &[&workspace, &id]).await.map_err(QueryError::unavailable)?;
        Ok(row.map(|row| TaskId(row.get(0))))
    }
}
