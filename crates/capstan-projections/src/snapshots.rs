//! Snapshots of streams, for dispatch and the engine.

use async_trait::async_trait;
use capstan_envelope::{Position, StreamHead, StreamId};
use capstan_eventlog::{OpenTasks, Snapshot, SnapshotError, Snapshots, Spent};
use serde::Deserialize;
use serde_json::Value;

use crate::checkpoint;
use crate::read_models::ReadModels;

#[derive(Deserialize)]
struct Stored {
    head: StreamHead,
    state: Value,
}

fn unavailable(source: impl std::error::Error + Send + Sync + 'static) -> SnapshotError {
    SnapshotError::Unavailable { source: Box::new(source) }
}

fn snapshot(stream: &StreamId, doc: &str) -> Result<Snapshot, SnapshotError> {
    let Stored { head, state } = serde_json::from_str(doc)
        .map_err(|source| SnapshotError::Malformed { stream: stream.clone(), source: Box::new(source) })?;
    Ok(Snapshot { head, state })
}

#[async_trait]
impl Snapshots for ReadModels {
    async fn load(&self, stream: &StreamId) -> Result<Option<Snapshot>, SnapshotError> {
        let client = self.client().await.map_err(unavailable)?;
        let sql = "SELECT doc FROM capstan.stream_snapshots WHERE id = $1";
        let statement = client.prepare_cached(sql).await.map_err(unavailable)?;
        let row = client.query_opt(&statement, &[&stream.to_string()]).await.map_err(unavailable)?;
        row.map(|row| snapshot(stream, row.get(0))).transpose()
    }
}

#[derive(Deserialize)]
struct Account {
    workspace: String,
    agent_id: Option<uuid::Uuid>,
    day: Option<chrono::NaiveDate>,
    usage: capstan_domain::usage::Usage,
    warned_limit_usd: Option<f64>,
}

#[async_trait]
impl OpenTasks for ReadModels {
    async fn spending(&self) -> Result<(Position, Vec<Spent>), SnapshotError> {
        let client = self.client().await.map_err(unavailable)?;
        let sql = "SELECT c.position, s.doc, c.hash FROM capstan.checkpoint c \
                   LEFT JOIN (SELECT doc FROM capstan.spending WHERE agent_id IS NOT NULL OR day >= $1) s ON true";
        let yesterday = chrono::Utc::now().date_naive().pred_opt().unwrap_or_default().to_string();
        let statement = client.prepare_cached(sql).await.map_err(unavailable)?;
        let rows = client.query(&statement, &[&yesterday]).await.map_err(unavailable)?;
        let position = rows.first().map_or(Position::START, checkpoint::position);
        let mut spent = Vec::new();
        for doc in rows.iter().filter_map(|row| row.get::<_, Option<&str>>(1)) {
            let account: Account = serde_json::from_str(doc).map_err(unavailable)?;
            let Account { workspace, agent_id, day, usage, warned_limit_usd } = account;
            spent.push(Spent { workspace, agent_id, day, cost_usd: usage.cost_usd, warned_limit_usd });
        }
        Ok((position, spent))
    }

    async fn open_tasks(&self) -> Result<(Position, Vec<(StreamId, Snapshot)>), SnapshotError> {
        let client = self.client().await.map_err(unavailable)?;
        // One statement, so that position and rows are of one instant.
        let sql = "SELECT c.position, s.id, s.doc, c.hash FROM capstan.checkpoint c \
                   LEFT JOIN (SELECT id, doc FROM capstan.stream_snapshots WHERE open) s ON true";
        let statement = client.prepare_cached(sql).await.map_err(unavailable)?;
        let rows = client.query(&statement, &[]).await.map_err(unavailable)?;
        let position = rows.first().map_or(Position::START, checkpoint::position);
        let mut open = Vec::new();
        for row in &rows {
            let (Some(id), Some(doc)) = (row.get::<_, Option<&str>>(1), row.get::<_, Option<&str>>(2)) else {
                continue;
            };
            let stream: StreamId = id.parse().map_err(unavailable)?;
            let snapshot = snapshot(&stream, doc)?;
            open.push((stream, snapshot));
        }
        Ok((position, open))
    }
}
