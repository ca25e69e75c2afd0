//! Reads of outputs.

use capstan_domain::id::{AgentId, OutputId, TaskId};
use capstan_domain::task::event::OutputStatus;

use crate::queries::cursor::Page;
use crate::queries::select::{Direction, Select};
use crate::queries::span::Span;
use crate::queries::task::storable;
use crate::queries::{Item, Listing, QueryError};
use crate::read_models::ReadModels;

/// Which outputs to list; everything that is given must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OutputFilter {
    /// Of this task.
    pub task_id: Option<TaskId>,
    /// Of this agent.
    pub agent_id: Option<AgentId>,
    /// Of this type.
    pub output_type: Option<String>,
    /// In one of these states; any when empty.
    pub statuses: Vec<OutputStatus>,
    /// Archived, or not; both when absent.
    pub archived: Option<bool>,
    /// Left out of the workspace's feed, or shown in it; both when absent.
    pub hidden: Option<bool>,
    /// Made in this span.
    pub created: Span,
}

impl ReadModels {
    /// An output; nothing when it is another task's than the one named.
    pub async fn output(
        &self,
        workspace: &str,
        task: Option<TaskId>,
        id: OutputId,
    ) -> Result<Option<Item>, QueryError> {
        let mut select = Select::of("outputs", workspace, "created_at");
        select.filter("id = ?", id.0);
        select.filter_some("task_id = ?", task.map(|task| task.0));
        select.one(self).await
    }

    /// Outputs of one task in the order they were made, or of the whole workspace, newest first.
    pub async fn outputs(
        &self,
        workspace: &str,
        filter: &OutputFilter,
        page: &Page,
    ) -> Result<Listing, QueryError> {
        let mut select = Select::of("outputs", workspace, "created_at");
        // As literals, so that the index of the feed can be used.
        select.filter_flag("archived", filter.archived);
        select.filter_flag("hidden", filter.hidden);
        select.filter_some("task_id = ?", filter.task_id.map(|id| id.0));
        select.filter_some("agent_id = ?", filter.agent_id.map(|id| id.0));
        select.filter_some("output_type = ?", filter.output_type.as_deref().map(storable));
        if !filter.statuses.is_empty() {
            let statuses: Vec<&'static str> = filter.statuses.iter().map(|status| status.as_str()).collect();
            select.filter("status = ANY(?)", statuses);
        }
        select.within("created_at", filter.created);
        let direction =
            if filter.task_id.is_some() { Direction::OldestFirst } else { Direction::NewestFirst };
        select.page(self, page, direction).await
    }

    /// The task of an output.
    pub async fn task_of_output(&self, workspace: &str, id: OutputId) -> Result<Option<TaskId>, QueryError> {
        self.task_of("outputs", workspace, id.0).await
    }
}
