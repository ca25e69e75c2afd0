//! Reads of blockers.

use capstan_domain::id::TaskId;

use crate::queries::cursor::Page;
use crate::queries::select::{Direction, Select};
use crate::queries::{Listing, QueryError};
use crate::read_models::ReadModels;

impl ReadModels {
    /// The inbox: the open questions of a workspace, oldest first.
    pub async fn blockers(&self, workspace: &str, page: &Page) -> Result<Listing, QueryError> {
        let mut select = Select::of("blockers", workspace, "created_at");
        select.filter_plain("open");
        select.page(self, page, Direction::OldestFirst).await
    }

    /// All questions of a task, oldest first.
    pub async fn blockers_of_task(
        &self,
        workspace: &str,
        task: TaskId,
        page: &Page,
    ) -> Result<Listing, QueryError> {
        let mut select = Select::of("blockers", workspace, "created_at");
        select.filter("task_id = ?", task.0);
        select.page(self, page, Direction::OldestFirst).await
    }
}
