//! Statistics of an agent.

use std::collections::BTreeMap;

use capstan_domain::id::AgentId;
use capstan_domain::task::TaskState;
use capstan_envelope::Position;
use schemars::JsonSchema;
use serde::Serialize;

use crate::checkpoint;
use crate::queries::QueryError;
use crate::read_models::ReadModels;

/// One statement, so that all figures are of one instant.
const SQL: &str = "SELECT c.position, t.states, t.counts, r.ok_ms, r.cost_usd, c.hash FROM capstan.checkpoint c, \
    LATERAL (SELECT array_agg(state) AS states, array_agg(counted) AS counts FROM capstan.task_counts \
             WHERE workspace = $1 AND agent_id = $2) t, \
    LATERAL (SELECT (sum(ok_ms) / nullif(sum(ok), 0))::float8 AS ok_ms, coalesce(sum(cost_usd), 0)::float8 AS cost_usd \
             FROM capstan.run_counts WHERE workspace = $1 AND agent_id = $2) r";

/// Statistics of an agent.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct AgentStats {
    /// Number of tasks, including archived ones.
    pub total: u64,
    /// Number of tasks by state; every state is present.
    pub by_state: BTreeMap<&'static str, u64>,
    /// Number of running tasks.
    pub running_count: u64,
    /// Number of done tasks.
    pub completed_count: u64,
    /// Number of tasks that failed or were dropped.
    pub failed_count: u64,
    /// Average duration of successful runs, in seconds; absent when there are none.
    pub avg_run_sec: Option<f64>,
    /// Total cost of all runs, in US dollars.
    pub total_cost_usd: f64,
}

impl ReadModels {
    /// The statistics of an agent, and the position they were read at.
    pub async fn agent_stats(
        &self,
        workspace: &str,
        agent_id: AgentId,
    ) -> Result<(AgentStats, Position), QueryError> {
        let rows = self.rows(SQL, &[&workspace, &agent_id.0]).await?;
        let row = rows.first().ok_or_else(|| QueryError::Unavailable("the checkpoint is missing".into()))?;
        let states: Vec<String> = row.get::<_, Option<Vec<String>>>(1).unwrap_or_default();
        let counts: Vec<i64> = row.get::<_, Option<Vec<i64>>>(2).unwrap_or_default();
        let counted: BTreeMap<&str, u64> =
            states.iter().map(String::as_str).zip(counts.into_iter().map(|count| count as u64)).collect();
        let count = |state: TaskState| counted.get(state.as_str()).copied().unwrap_or_default();
        let figures = AgentStats {
            total: counted.values().sum(),
            by_state: TaskState::ALL.into_iter().map(|state| (state.as_str(), count(state))).collect(),
            running_count: count(TaskState::Running),
            completed_count: count(TaskState::Done),
            failed_count: count(TaskState::Error) + count(TaskState::Dropped),
            avg_run_sec: row.get::<_, Option<f64>>(3).map(|ms| ms / 1_000.0),
            total_cost_usd: row.get(4),
        };
        Ok((figures, checkpoint::position(row)))
    }
}
