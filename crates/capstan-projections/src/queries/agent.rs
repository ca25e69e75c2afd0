//! Reads of agents.

use capstan_domain::id::AgentId;

use crate::queries::cursor::Page;
use crate::queries::select::{Direction, Select};
use crate::queries::{Item, Listing, QueryError};
use crate::read_models::ReadModels;

impl ReadModels {
    /// An agent.
    pub async fn agent(&self, workspace: &str, id: AgentId) -> Result<Option<Item>, QueryError> {
        let mut select = Select::of("agents", workspace, "created_at");
        select.filter("id = ?", id.0);
        select.one(self).await
    }

    /// Agents, oldest first.
    pub async fn agents(&self, workspace: &str, page: &Page) -> Result<Listing, QueryError> {
        let select = Select::of("agents", workspace, "created_at");
        select.page(self, page, Direction::OldestFirst).await
    }
}
