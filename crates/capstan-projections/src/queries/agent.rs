//! Reads of agents.

use capstan_domain::id::AgentId;

use crate::queries::QueryError;
use crate::queries::select::{Query, Select};
use crate::queries::task::storable;
use crate::read_models::ReadModels;

/// The agents of a workspace, oldest first.
#[derive(Clone, Copy, Debug, Default)]
pub struct AgentFilter;

impl Query for AgentFilter {
    fn select(&self, workspace: &str) -> Select {
        Select::all("agents", workspace)
    }
}

impl ReadModels {
    /// Id and key of the active agents whose key or name has this normal form, by key; at most `limit`.
    pub async fn agents_by_form(
        &self,
        workspace: &str,
        form: &str,
        limit: i64,
    ) -> Result<Vec<(AgentId, String)>, QueryError> {
        let sql = "SELECT id, agent_key FROM capstan.agents \
                   WHERE workspace = $1 AND active AND (key_form = $2 OR name_form = $2) \
                   ORDER BY agent_key LIMIT $3";
        let rows = self.rows(sql, &[&workspace, &storable(form), &limit]).await?;
        Ok(rows.iter().map(|row| (AgentId(row.get(0)), row.get(1))).collect())
    }
}
