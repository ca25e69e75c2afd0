//! What an agent has done, in figures.

use std::collections::BTreeMap;

use capstan_domain::id::AgentId;
use capstan_domain::task::TaskState;
use capstan_envelope::Position;
use schemars::JsonSchema;
use serde::Serialize;

use crate::checkpoint;
use crate::queries::QueryError;
use crate::read_models::ReadModels;

/// One statement, so that all figures are of one instant. Tasks and runs are each counted by an index on the agent.
const SQL: &str = "SELECT c.position, t.states, t.counts, r.ok_ms, r.cost_usd, c.hash FROM capstan.checkpoint c, \
    LATERAL (SELECT array_agg(state) AS states, array_agg(found) AS counts \
             FROM (SELECT state, count(*) AS found FROM capstan.tasks \
                   WHERE workspace = $1 AND agent_id = $2 GROUP BY state) by_state) t, \
    LATERAL (SELECT avg(ok_ms)::float8 AS ok_ms, coalesce(sum(cost_usd), 0) AS cost_usd FROM capstan.runs \
             WHERE workspace = $1 AND agent_id = $2) r";

/// What an agent has done, in figures.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct AgentStats {
    /// Its tasks, archived ones included.
    pub total: u64,
    /// Its tasks by state; every state is there.
    pub by_state: BTreeMap<&'static str, u64>,
    /// Tasks that run.
    pub running_count: u64,
    /// Tasks that are done.
    pub completed_count: u64,
    /// Tasks that ended in an error or were dropped.
    pub failed_count: u64,
    /// How long runs took on average that ended well, in seconds; absent when there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avg_run_sec: Option<f64>,
    /// What all runs have cost, in US dollars.
    pub total_cost_usd: f64,
}

impl ReadModels {
    /// The figures of an agent, and the position they were read at.
    pub async fn agent_stats(
        &self,
        workspace: &str,
        agent_id: AgentId,
    ) -> Result<(AgentStats, Position), QueryError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(SQL).await.map_err(QueryError::unavailable)?;
        let row = client
            .query_one(&statement, &[&workspace, &agent_id.0])
            .await
            .map_err(QueryError::unavailable)?;
        let states: Vec<String> = row.get::<_, Option<Vec<String>>>(1).unwrap_or_default();
        let counts: Vec<i64> = row.get::<_, Option<Vec<i64>>>(2).unwrap_or_default();
        let counted: BTreeMap<&str, u64> =
            states.iter().map(String::as_str).zip(counts.into_iter().map(|count| count as u64)).collect();
        let of = |state: TaskState| counted.get(state.as_str()).copied().unwrap_or_default();
        let figures = AgentStats {
            total: counted.values().sum(),
            by_state: TaskState::ALL.into_iter().map(|state| (state.as_str(), of(state))).collect(),
            running_count: of(TaskState::Running),
            completed_count: of(TaskState::Done),
            failed_count: of(TaskState::Error) + of(TaskState::Dropped),
            avg_run_sec: row.get::<_, Option<f64>>(3).map(|ms| ms / 1_000.0),
            total_cost_usd: row.get(4),
        };
        Ok((figures, checkpoint::position(&row)))
    }
}
