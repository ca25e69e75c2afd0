//! Reads of workspaces.

use crate::queries::select::Select;
use crate::queries::{Item, QueryError};
use crate::read_models::ReadModels;

impl ReadModels {
    /// A workspace.
    pub async fn workspace(&self, workspace: &str) -> Result<Option<Item>, QueryError> {
        let mut select = Select::of("workspaces", workspace, "created_at");
        select.filter("id = ?", workspace.to_owned());
        select.one(self).await
    }
}
