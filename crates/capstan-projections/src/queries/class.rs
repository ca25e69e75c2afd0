//! Reads of execution classes.

use crate::catalogue::classes::class_id;
use crate::queries::cursor::Page;
use crate::queries::select::{Direction, Select};
use crate::queries::{Item, Listing, QueryError};
use crate::read_models::ReadModels;

impl ReadModels {
    /// A class that was spoken of.
    pub async fn class(&self, workspace: &str, instance_key: &str) -> Result<Option<Item>, QueryError> {
        let mut select = Select::of("classes", workspace, "created_at");
        select.filter("id = ?", class_id(workspace, instance_key));
        select.one(self).await
    }

    /// Classes that were spoken of, oldest first.
    pub async fn classes(&self, workspace: &str, page: &Page) -> Result<Listing, QueryError> {
        let select = Select::of("classes", workspace, "created_at");
        select.page(self, page, Direction::OldestFirst).await
    }
}
