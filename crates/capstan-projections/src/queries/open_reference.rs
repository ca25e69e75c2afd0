//! The open tasks and the configurations they were accepted with, for whoever archives the log.

use capstan_contract::{AgentCodec, TaskCodec};
use capstan_envelope::{Codec as _, StreamId, Workspace};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::queries::QueryError;
use crate::read_models::ReadModels;

/// An open task, and the configuration of its agent that it refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenReference {
    /// Stream of the task.
    pub task: StreamId,
    /// Stream of its agent.
    pub agent: StreamId,
    /// Number of the configuration the task was accepted with.
    pub config_version: u64,
}

impl ReadModels {
    /// Every task that is not over, or whose end is not settled. They are read as they come, so that few are in memory.
    pub async fn open_references(
        &self,
    ) -> Result<BoxStream<'static, Result<OpenReference, QueryError>>, QueryError> {
        let client = self.client().await?;
        // The number is in the document only; Postgres does not parse one that contains an escaped NUL.
        let sql = "SELECT t.workspace, t.id, t.agent_id, \
                          (replace(a.doc, '\\u0000', '\\ufffd')::json #>> '{accepted,agent_config_version}')::bigint \
                   FROM (SELECT id, workspace, agent_id FROM capstan.tasks WHERE open \
                         UNION ALL SELECT id, workspace, agent_id FROM capstan.tasks WHERE unsettled) t \
                   JOIN capstan.acceptances a ON a.id = t.id";
        let statement = client.prepare_cached(sql).await.map_err(QueryError::unavailable)?;
        let none: [&(dyn ToSql + Sync); 0] = [];
        let rows = client.query_raw(&statement, none).await.map_err(QueryError::unavailable)?;
        // The connection goes back to its pool when the last row was read.
        let references = rows.map(move |row| {
            let _in_use = &client;
            reference(&row.map_err(QueryError::unavailable)?)
        });
        Ok(references.boxed())
    }
}

fn reference(row: &Row) -> Result<OpenReference, QueryError> {
    let workspace = Workspace::new(row.get(0)).map_err(QueryError::unavailable)?;
    let stream = |category, id: Uuid| {
        StreamId::new(workspace.clone(), category, &id.to_string()).map_err(QueryError::unavailable)
    };
    Ok(OpenReference {
        task: stream(TaskCodec::CATEGORY, row.get(1))?,
        agent: stream(AgentCodec::CATEGORY, row.get(2))?,
        config_version: row.get::<_, i64>(3).cast_unsigned(),
    })
}
