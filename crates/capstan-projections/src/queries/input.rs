//! Reads of inputs.

use capstan_domain::id::TaskId;

use crate::queries::cursor::Page;
use crate::queries::select::{Direction, Select};
use crate::queries::{Listing, QueryError};
use crate::read_models::ReadModels;

impl ReadModels {
    /// Everything that was said to a task, oldest first.
    pub async fn inputs(&self, workspace: &str, task: TaskId, page: &Page) -> Result<Listing, QueryError> {
        let mut select = Select::of("inputs", workspace, "seq");
        select.filter("task_id = ?", task.0);
        select.page(self, page, Direction::OldestFirst).await
    }
}
