//! Reads of agents.

use capstan_domain::id::AgentId;

use crate::queries::cursor::Page;
use crate::queries::select::{Direction, Select};
use crate::queries::task::storable;
use crate::queries::{Item, Listing, QueryError};
use crate::read_models::ReadModels;

impl ReadModels {
    /// An agent.
    pub async fn agent(&self, workspace: &str, id: AgentId) -> Result<Option<Item>, QueryError> {
        let mut select = Select::of("agents", workspace, "created_at");
        select.filter("id = ?", id.0);
        select.one(self).await
    }

    /// The active agents whose key or name has this normal form, by key; at most `limit`.
    pub async fn agents_of_form(
        &self,
        workspace: &str,
        form: &str,
        limit: i64,
    ) -> Result<Vec<(AgentId, String)>, QueryError> {
        let client = self.client().await?;
        let sql = "SELECT id, agent_key FROM capstan.agents \
                   WHERE workspace = $1 AND active AND (key_form = $2 OR name_form = $2) \
                   ORDER BY agent_key LIMIT $3";
        let statement = client.prepare_cached(sql).await.map_err(QueryError::unavailable)?;
        let form = storable(form);
        let rows =
            client.query(&statement, &[&workspace, &form, &limit]).await.map_err(QueryError::unavailable)?;
        Ok(rows.iter().map(|row| (AgentId(row.get(0)), row.get(1))).collect())
    }

    /// How many agents there are; counted no further than `limit`.
    pub async fn count_agents(&self, workspace: &str, limit: u64) -> Result<u64, QueryError> {
        let mut select = Select::of("agents", workspace, "created_at");
        select.count(self, limit).await
    }

    /// Agents, oldest first.
    pub async fn agents(&self, workspace: &str, page: &Page) -> Result<Listing, QueryError> {
        let select = Select::of("agents", workspace, "created_at");
        select.page(self, page, Direction::OldestFirst).await
    }
}
