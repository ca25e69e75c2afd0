//! Reads of outputs.

use capstan_domain::id::{OutputId, TaskId};

use crate::queries::cursor::Page;
use crate::queries::select::{Direction, Select};
use crate::queries::{Item, Listing, QueryError};
use crate::read_models::ReadModels;

impl ReadModels {
    /// An output.
    pub async fn output(&self, workspace: &str, id: OutputId) -> Result<Option<Item>, QueryError> {
        let mut select = Select::of("outputs", workspace, "created_at");
        select.filter("id = ?", id.0);
        select.one(self).await
    }

    /// Outputs of one task in the order they were made, or of the whole workspace, newest first.
    pub async fn outputs(
        &self,
        workspace: &str,
        task: Option<TaskId>,
        page: &Page,
    ) -> Result<Listing, QueryError> {
        let mut select = Select::of("outputs", workspace, "created_at");
        select.filter_some("task_id = ?", task.map(|id| id.0));
        let direction = if task.is_some() { Direction::OldestFirst } else { Direction::NewestFirst };
        select.page(self, page, direction).await
    }

    /// The task of an output.
    pub async fn task_of_output(&self, workspace: &str, id: OutputId) -> Result<Option<TaskId>, QueryError> {
        self.task_of("outputs", workspace, id.0).await
    }
}
