//! Snapshots of streams, for dispatch and the engine.

use async_trait::async_trait;
use capstan_envelope::{Position, StreamHead, StreamId};
use capstan_eventlog::{OpenStream, OpenStreams, OpenTasks, Snapshot, SnapshotError, Snapshots, Spent};
use futures_util::StreamExt as _;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::checkpoint;
use crate::read_models::ReadModels;

/// Most rows of open streams in memory at once.
const CHUNK_ROWS: usize = 256;

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

    async fn open_tasks(&self) -> Result<OpenStreams, SnapshotError> {
        let client = self.client().await.map_err(unavailable)?;
        // One statement, so that position and rows are of one instant; read as they come, so that few are in memory.
        let sql = "SELECT c.position, s.id, s.doc, c.hash FROM capstan.checkpoint c \
                   LEFT JOIN (SELECT id, doc FROM capstan.stream_snapshots WHERE open) s ON true";
        let statement = client.prepare_cached(sql).await.map_err(unavailable)?;
        let none: [&(dyn ToSql + Sync); 0] = [];
        let rows = client.query_raw(&statement, none).await.map_err(unavailable)?;
        let mut rows = Box::pin(rows.ready_chunks(CHUNK_ROWS));
        let Some(first) = rows.next().await else {
            let chunks = futures_util::stream::empty().boxed();
            return Ok(OpenStreams { position: Position::START, chunks });
        };
        let position = match first.first() {
            Some(Ok(row)) => checkpoint::position(row),
            Some(Err(_)) | None => Position::START,
        };
        // The connection goes back to its pool when the last row was read.
        let chunks = futures_util::stream::once(async { first }).chain(rows).map(move |rows| {
            let _in_use = &client;
            rows.into_iter().filter_map(|row| open_stream(row).transpose()).collect()
        });
        Ok(OpenStreams { position, chunks: chunks.boxed() })
    }
}

/// The open stream in a row; none in the row that only tells the position.
fn open_stream(row: Result<Row, tokio_postgres::Error>) -> Result<Option<OpenStream>, SnapshotError> {
    #[derive(Deserialize)]
    struct Head {
        version: u64,
    }
    #[derive(Deserialize)]
    struct Text {
        head: Head,
        state: Box<RawValue>,
    }
    let row = row.map_err(unavailable)?;
    let (Some(id), Some(doc)) = (row.get::<_, Option<&str>>(1), row.get::<_, Option<&str>>(2)) else {
        return Ok(None);
    };
    let stream: StreamId = id.parse().map_err(unavailable)?;
    let text: Text = serde_json::from_str(doc)
        .map_err(|source| SnapshotError::Malformed { stream: stream.clone(), source: Box::new(source) })?;
    Ok(Some(OpenStream { stream, version: text.head.version, state: text.state }))
}
