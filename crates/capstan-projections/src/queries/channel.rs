//! Reads of channel bindings.

use capstan_domain::id::{AgentId, BindingId};

use crate::queries::cursor::Page;
use crate::queries::select::{Direction, Select};
use crate::queries::task::storable;
use crate::queries::{Item, Listing, QueryError};
use crate::read_models::ReadModels;

/// Whose channel bindings to list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BindingsOf {
    /// Everybody's in the workspace.
    #[default]
    All,
    /// Those of one agent.
    Agent(AgentId),
    /// Those of the workspace itself, which name no agent.
    Workspace,
}

/// Which channel bindings to list; everything that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BindingFilter {
    /// Whose.
    pub of: BindingsOf,
    /// Of this type of channel.
    pub channel_type: Option<String>,
    /// Active, or not; both when absent.
    pub active: Option<bool>,
}

impl ReadModels {
    /// A channel binding.
    pub async fn channel(&self, workspace: &str, id: BindingId) -> Result<Option<Item>, QueryError> {
        let mut select = Select::of("channels", workspace, "created_at");
        select.filter("id = ?", id.0);
        select.one(self).await
    }

    /// Type and address of every active binding of an agent.
    pub async fn addresses_of(
        &self,
        workspace: &str,
        agent_id: AgentId,
    ) -> Result<Vec<(String, String)>, QueryError> {
        let client = self.client().await?;
        let sql = "SELECT channel_type, address FROM capstan.channels \
                   WHERE workspace = $1 AND agent_id = $2 AND active ORDER BY created_at, id";
        let statement = client.prepare_cached(sql).await.map_err(QueryError::unavailable)?;
        let rows =
            client.query(&statement, &[&workspace, &agent_id.0]).await.map_err(QueryError::unavailable)?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Channel bindings, oldest first.
    pub async fn channels(
        &self,
        workspace: &str,
        filter: &BindingFilter,
        page: &Page,
    ) -> Result<Listing, QueryError> {
        let mut select = Select::of("channels", workspace, "created_at");
        match filter.of {
            BindingsOf::All => {}
            BindingsOf::Agent(id) => select.filter("agent_id = ?", id.0),
            BindingsOf::Workspace => select.filter_plain("agent_id IS NULL"),
        }
        select.filter_some("channel_type = ?", filter.channel_type.as_deref().map(storable));
        select.filter_some("active = ?", filter.active);
        select.page(self, page, Direction::OldestFirst).await
    }
}
