//! Reads of channel bindings.

use capstan_domain::id::AgentId;

use crate::queries::QueryError;
use crate::queries::select::{Query, Select};
use crate::queries::task::storable;
use crate::read_models::ReadModels;

/// The holder of channel bindings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BindingsOf {
    /// Any holder in the workspace.
    #[default]
    All,
    /// One agent.
    Agent(AgentId),
    /// The workspace itself: bindings without an agent.
    Workspace,
}

/// Channel bindings, oldest first. All conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BindingFilter {
    /// The holder.
    pub of: BindingsOf,
    /// The type of channel.
    pub channel_type: Option<String>,
    /// Active or not; both when absent.
    pub active: Option<bool>,
}

impl Query for BindingFilter {
    fn select(&self, workspace: &str) -> Select {
        let mut select = Select::all("channels", workspace);
        match self.of {
            BindingsOf::All => {}
            BindingsOf::Agent(id) => select.filter("agent_id = ?", id.0),
            BindingsOf::Workspace => select.filter_plain("agent_id IS NULL"),
        }
        select.filter_some("channel_type = ?", self.channel_type.as_deref().map(storable));
        select.filter_some("active = ?", self.active);
        select
    }
}

impl ReadModels {
    /// Type and address of every active binding of an agent.
    pub async fn addresses_of(
        &self,
        workspace: &str,
        agent_id: AgentId,
    ) -> Result<Vec<(String, String)>, QueryError> {
        let sql = "SELECT channel_type, address FROM capstan.channels \
                   WHERE workspace = $1 AND agent_id = $2 AND active ORDER BY created_at, id";
        let rows = self.rows(sql, &[&workspace, &agent_id.0]).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }
}
