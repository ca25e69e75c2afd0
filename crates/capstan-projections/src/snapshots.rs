//! Snapshots of streams, for dispatch and the engine.

use std::time::Duration;

use async_trait::async_trait;
use capstan_contract::TaskCodec;
use capstan_contract::account::AgentAccount;
use capstan_domain::task::Task;
use capstan_envelope::{
    Carried, CarriedAccount, Codec as _, CommitId, OlderKeys, Position, StreamHead, StreamId, Workspace,
};
use capstan_eventlog::{
    KeptKey, OpenStream, OpenStreams, OpenTasks, Snapshot, SnapshotError, Snapshots, Spent,
};
use deadpool_postgres::Object;
use futures_util::StreamExt as _;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::catalogue::MODELS;
use crate::catalogue::applied_keys::{AppliedKeyRow, applied_key, older_keys};
use crate::catalogue::spending::account_of;
use crate::catalogue::streams::StreamRow;
use crate::catalogue::tasks::{TaskRow, state_of};
use crate::checkpoint;
use crate::model::{Model as _, Named as _, Stored};
use crate::read_models::ReadModels;

/// The longest wait for the table of keys to stand where a key left its head.
const KEYS_WAIT: Duration = Duration::from_secs(2);
/// Most rows of open streams in memory at once.
const CHUNK_ROWS: usize = 256;

#[derive(Deserialize)]
struct StreamDocument {
    head: StreamHead,
    state: Box<RawValue>,
}

fn unavailable(source: impl std::error::Error + Send + Sync + 'static) -> SnapshotError {
    SnapshotError::Unavailable { source: Box::new(source) }
}

fn snapshot(stream: &StreamId, doc: &str) -> Result<Snapshot, SnapshotError> {
    let StreamDocument { head, state } = serde_json::from_str(doc)
        .map_err(|source| SnapshotError::Malformed { stream: stream.clone(), source: Box::new(source) })?;
    Ok(Snapshot { head, state })
}

/// The columns of a task's row and its acceptance.
const TASK: &str = "t.id, t.position AS sequence, t.version, t.doc, a.doc AS aside \
                    FROM capstan.tasks t JOIN capstan.acceptances a ON a.id = t.id";

/// The snapshot in such a row.
fn task_snapshot(stream: &StreamId, row: &Row) -> Result<Snapshot, SnapshotError> {
    let (head, state) = state_of(row.get("id"), &Stored::from_row(row))
        .map_err(|source| SnapshotError::Malformed { stream: stream.clone(), source: Box::new(source) })?;
    Ok(Snapshot { head, state })
}

/// The row of a task's stream with its acceptance.
async fn task_row(client: &Object, stream: &StreamId) -> Result<Option<Row>, SnapshotError> {
    let Ok(id) = Uuid::parse_str(stream.id()) else { return Ok(None) };
    // The id alone would find the task of another workspace.
    let sql = format!("SELECT {TASK} WHERE t.id = $1 AND t.workspace = $2");
    let statement = client.prepare_cached(&sql).await.map_err(unavailable)?;
    client.query_opt(&statement, &[&id, &stream.workspace().as_str()]).await.map_err(unavailable)
}

/// The snapshot of a stream that is no task's.
async fn stream_snapshot(client: &Object, stream: &StreamId) -> Result<Option<Snapshot>, SnapshotError> {
    let sql = "SELECT doc FROM capstan.streams WHERE id = $1";
    let statement = client.prepare_cached(sql).await.map_err(unavailable)?;
    let row = client.query_opt(&statement, &[&stream.to_string()]).await.map_err(unavailable)?;
    row.map(|row| snapshot(stream, row.get(0))).transpose()
}

impl ReadModels {
    /// A stream as the rows have it, for a commit that carries it forward; `None` when they do not have it.
    pub async fn carried(&self, stream: &StreamId) -> Result<Option<(StreamHead, Carried)>, SnapshotError> {
        let malformed = |source: serde_json::Error| SnapshotError::Malformed {
            stream: stream.clone(),
            source: Box::new(source),
        };
        let carried = |Snapshot { head, state }: Snapshot, shown| {
            let keys = head.applied.clone();
            (head, Carried { state, keys, older: OlderKeys::default(), shown, spent: None })
        };
        let client = self.client().await.map_err(unavailable)?;
        if stream.category() == TaskCodec::CATEGORY {
            let Some(row) = task_row(&client, stream).await? else { return Ok(None) };
            let shown = TaskRow::shown(row.get("doc")).map_err(malformed)?;
            let known = task_snapshot(stream, &row)?;
            let state = at_rest(known.state).map_err(malformed)?;
            return Ok(Some(carried(Snapshot { state, ..known }, shown)));
        }
        let Some(known) = stream_snapshot(&client, stream).await? else { return Ok(None) };
        let (head, mut known) = carried(known, None);
        let models = MODELS.iter().filter(|model| model.name != StreamRow::NAME);
        let mut reading = models.filter_map(|model| Some((model, (model.carried_id)(stream, &known)?)));
        let Some((model, (id, holds))) = reading.next() else { return Ok(Some((head, known))) };
        // With the position of the stream, so that both rows are known to be of one instant.
        let sql = format!(
            "SELECT s.position, (SELECT m.doc FROM capstan.{} m WHERE m.id = $2::text::{holds}) \
             FROM capstan.streams s WHERE s.id = $1",
            model.name
        );
        let statement = client.prepare_cached(&sql).await.map_err(unavailable)?;
        let row = client.query_one(&statement, &[&stream.to_string(), &id]).await.map_err(unavailable)?;
        if row.get::<_, i64>(0) as u64 != head.position.sequence() {
            return Err(SnapshotError::Unavailable { source: "the stream changed meanwhile".into() });
        }
        let shown = row.get::<_, Option<&str>>(1).map(model.shown).transpose().map_err(malformed)?;
        known.shown = shown.flatten();
        known.spent = carried_account(&client, stream).await?;
        Ok(Some((head, known)))
    }
}

/// The account of the agent with this stream, and the position at which it is read.
async fn carried_account(
    client: &Object,
    stream: &StreamId,
) -> Result<Option<CarriedAccount>, SnapshotError> {
    let Some(id) = account_of(stream) else { return Ok(None) };
    let sql =
        "SELECT c.position, c.hash, s.doc FROM capstan.checkpoint c JOIN capstan.spending s ON s.id = $1";
    let statement = client.prepare_cached(sql).await.map_err(unavailable)?;
    let Some(row) = client.query_opt(&statement, &[&id]).await.map_err(unavailable)? else { return Ok(None) };
    let read = serde_json::from_str::<AgentAccount>(row.get(2));
    let account = read.and_then(|account| serde_json::value::to_raw_value(&account));
    let account = account
        .map_err(|source| SnapshotError::Malformed { stream: stream.clone(), source: Box::new(source) })?;
    Ok(Some(CarriedAccount { through: checkpoint::position(&row), account }))
}

/// The state of a task with what is carried forward of it, when it is over and settled.
fn at_rest(state: Box<RawValue>) -> serde_json::Result<Box<RawValue>> {
    let task: Task = serde_json::from_str(state.get())?;
    if task.is_at_rest() { serde_json::value::to_raw_value(&task.carried()) } else { Ok(state) }
}

#[async_trait]
impl Snapshots for ReadModels {
    async fn load(&self, stream: &StreamId) -> Result<Option<Snapshot>, SnapshotError> {
        let client = self.client().await.map_err(unavailable)?;
        if stream.category() == TaskCodec::CATEGORY {
            let row = task_row(&client, stream).await?;
            return row.map(|row| task_snapshot(stream, &row)).transpose();
        }
        stream_snapshot(&client, stream).await
    }

    async fn applied(
        &self,
        stream: &StreamId,
        command: CommitId,
        until: Position,
    ) -> Result<KeptKey, SnapshotError> {
        self.wait_for(until, KEYS_WAIT).await.map_err(unavailable)?;
        let client = self.client().await.map_err(unavailable)?;
        // What a parked stream applied is not in the table, however far that has come.
        let sql = "SELECT (SELECT doc FROM capstan.applied_keys WHERE id = $1), \
                          EXISTS (SELECT FROM capstan.parked WHERE stream = $2), \
                          (SELECT doc FROM capstan.applied_keys WHERE id = $3)";
        let statement = client.prepare_cached(sql).await.map_err(unavailable)?;
        let (key, older, name) = (applied_key(stream, command), older_keys(stream), stream.to_string());
        let row = client.query_one(&statement, &[&key, &name, &older]).await.map_err(unavailable)?;
        let read = |column| {
            let doc = row.get::<_, Option<&str>>(column).map(serde_json::from_str::<AppliedKeyRow>);
            doc.transpose().map_err(unavailable)
        };
        if let Some(AppliedKeyRow::Applied(applied)) = read(0)? {
            return Ok(KeptKey::Applied(applied));
        }
        match read(2)? {
            Some(AppliedKeyRow::Older { older }) if older.knows(command) => Ok(KeptKey::Archived),
            _ if row.get(1) => Err(SnapshotError::Unavailable { source: "the stream is parked".into() }),
            _ => Ok(KeptKey::New),
        }
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
        // Tasks that are over but unsettled are few, and found by an index of their own.
        let sql = "SELECT c.position, c.hash, s.* FROM capstan.checkpoint c \
                   LEFT JOIN (SELECT id AS stream, doc, workspace, NULL::uuid AS id, position AS sequence, version, NULL AS aside \
                              FROM capstan.streams WHERE open \
                              UNION ALL SELECT NULL, t.doc, t.workspace, t.id, t.position, t.version, coalesce(a.reduced, a.doc) \
                              FROM capstan.tasks t JOIN capstan.acceptances a ON a.id = t.id WHERE t.open \
                              UNION ALL SELECT NULL, t.doc, t.workspace, t.id, t.position, t.version, coalesce(a.reduced, a.doc) \
                              FROM capstan.tasks t JOIN capstan.acceptances a ON a.id = t.id WHERE t.unsettled) s \
                   ON true";
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
    let row = row.map_err(unavailable)?;
    let (stream, snapshot) = if let Some(name) = row.get::<_, Option<&str>>("stream") {
        let stream: StreamId = name.parse().map_err(unavailable)?;
        let snapshot = snapshot(&stream, row.get("doc"))?;
        (stream, snapshot)
    } else {
        let Some(id) = row.get::<_, Option<Uuid>>("id") else { return Ok(None) };
        let workspace = Workspace::new(row.get("workspace")).map_err(unavailable)?;
        let stream = StreamId::new(workspace, TaskCodec::CATEGORY, &id.to_string()).map_err(unavailable)?;
        let snapshot = task_snapshot(&stream, &row)?;
        (stream, snapshot)
    };
    Ok(Some(OpenStream { stream, version: snapshot.head.version, state: snapshot.state }))
}
