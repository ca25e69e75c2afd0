//! Writes the commits of the log into two tables, with the checkpoint in the same transaction.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use async_nats::jetstream::{Message, consumer};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::time::{Instant, timeout_at};
use tokio_postgres::{Client, Statement, Transaction};
use uuid::Uuid;

use crate::append::{EXPECTED, Log};
use crate::commit::{Acceptance, HASH, Step, hash, hex};
use crate::copy_rows::CopyRows;
use crate::open_tasks::OpenTasks;

/// Most commits of a batch.
const BATCH_MAX: usize = 2000;
/// The rows are a cache, so their transactions are not flushed; `fillfactor` lets a row be changed in its page.
const TABLES: &str = "
    SET synchronous_commit = off;
    CREATE TABLE acceptance (id uuid PRIMARY KEY, position bigint NOT NULL, document text COMPRESSION lz4 NOT NULL);
    CREATE TABLE task (
        id uuid PRIMARY KEY, workspace int NOT NULL, agent int NOT NULL, state smallint NOT NULL,
        priority smallint NOT NULL, created bigint NOT NULL, position bigint NOT NULL, hash bytea NOT NULL
    ) WITH (fillfactor = 80);
    CREATE INDEX ON task (workspace, created DESC);
    CREATE INDEX ON task (workspace, state, created DESC);
    CREATE TABLE checkpoint (id int PRIMARY KEY, position bigint NOT NULL);
    INSERT INTO checkpoint VALUES (1, 0)";
const CHANGE_TASKS: &str = "
    UPDATE task SET state = changed.state, position = changed.position
    FROM unnest($1::uuid[], $2::int2[], $3::int8[]) changed (id, state, position)
    WHERE task.id = changed.id AND task.position < changed.position";

/// The state of a task in its row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Queued = 0,
    Leased = 1,
    Done = 2,
}

/// Reads the log and writes the rows.
pub(crate) struct Projector {
    messages: consumer::pull::Stream,
    client: Client,
    change_tasks: Statement,
    move_checkpoint: Statement,
    gather: Duration,
    open_tasks: Arc<OpenTasks>,
}

/// What a batch changes.
struct Changes<'a> {
    accepted: Vec<(Uuid, Acceptance<'a>, &'a Bytes, [u8; 8])>,
    /// The last state of each task, and the position it has had since.
    states: HashMap<Uuid, (State, i64)>,
    position: i64,
}

impl Projector {
    /// Creates the tables and a consumer from the log's beginning.
    pub(crate) async fn create(
        log: &Log,
        database_url: &str,
        gather: Duration,
        open_tasks: Arc<OpenTasks>,
    ) -> anyhow::Result<Self> {
        let (client, connection) = tokio_postgres::connect(database_url, tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        client.batch_execute(TABLES).await.context("create the tables")?;
        let change_tasks = client.prepare(CHANGE_TASKS).await?;
        let move_checkpoint = client.prepare("UPDATE checkpoint SET position = $1").await?;
        let consumer = consumer::pull::Config {
            ack_policy: consumer::AckPolicy::None,
            inactive_threshold: Duration::from_mins(1),
            memory_storage: true,
            ..consumer::pull::Config::default()
        };
        let consumer = log.stream().await?.create_consumer(consumer).await?;
        let messages = consumer.stream().max_messages_per_batch(BATCH_MAX).messages().await?;
        Ok(Self { messages, client, change_tasks, move_checkpoint, gather, open_tasks })
    }

    /// Projects until a commit or the database fails.
    pub(crate) async fn run(mut self) -> anyhow::Result<()> {
        loop {
            let batch = self.next_batch().await?;
            let changes = changes(&batch)?;
            let done: Vec<Uuid> = changes
                .states
                .iter()
                .filter(|(_, (state, _))| *state == State::Done)
                .map(|(task, _)| *task)
                .collect();
            let transaction = self.client.transaction().await?;
            write(&transaction, &changes, &self.change_tasks).await?;
            transaction.execute(&self.move_checkpoint, &[&changes.position]).await?;
            transaction.commit().await?;
            for task in done {
                self.open_tasks.ended(task);
            }
        }
    }

    /// Waits for a commit and gathers those that follow soon. A new task is open as soon as it is read.
    async fn next_batch(&mut self) -> anyhow::Result<Vec<Message>> {
        let mut batch = vec![self.messages.next().await.context("the consumer ended")??];
        self.announce(&batch[0])?;
        let until = Instant::now() + self.gather;
        while batch.len() < BATCH_MAX
            && let Ok(Some(message)) = timeout_at(until, self.messages.next()).await
        {
            let message = message?;
            self.announce(&message)?;
            batch.push(message);
        }
        Ok(batch)
    }

    fn announce(&self, message: &Message) -> anyhow::Result<()> {
        let headers = message.headers.as_ref().context("a commit without headers")?;
        if headers.get(EXPECTED).is_some_and(|expected| expected.as_str() == "0") {
            self.open_tasks.add((task_of(message)?, sequence_of(message)?));
        }
        Ok(())
    }
}

fn changes(batch: &[Message]) -> anyhow::Result<Changes<'_>> {
    let mut changes = Changes { accepted: Vec::new(), states: HashMap::new(), position: 0 };
    for message in batch {
        let task = task_of(message)?;
        let hash = checked_hash(message)?;
        changes.position = sequence_of(message)? as i64;
        let state = match serde_json::from_slice::<Acceptance<'_>>(&message.payload) {
            Ok(acceptance) => {
                changes.accepted.push((task, acceptance, &message.payload, hash));
                State::Queued
            }
            Err(_) => match serde_json::from_slice::<Step>(&message.payload)?.version {
                2 => State::Leased,
                _ => State::Done,
            },
        };
        changes.states.insert(task, (state, changes.position));
    }
    Ok(changes)
}

async fn write(
    transaction: &Transaction<'_>,
    changes: &Changes<'_>,
    change_tasks: &Statement,
) -> anyhow::Result<()> {
    let mut later = changes.states.clone();
    let (mut acceptances, mut tasks) = (CopyRows::new(), CopyRows::new());
    for (task, acceptance, document, hash) in &changes.accepted {
        let (state, position) = later.remove(task).context("a task without a state")?;
        let event = &acceptance.events[0];
        acceptances.row(3).field(task.as_bytes()).field(&position.to_be_bytes()).field(document);
        tasks
            .row(8)
            .field(task.as_bytes())
            .field(&1_i32.to_be_bytes())
            .field(&(event.agent.len() as i32).to_be_bytes())
            .field(&(state as i16).to_be_bytes())
            .field(&event.priority.unwrap_or(0).to_be_bytes())
            .field(&(acceptance.at as i64).to_be_bytes())
            .field(&position.to_be_bytes())
            .field(hash);
    }
    if !changes.accepted.is_empty() {
        copy(transaction, "acceptance", acceptances).await?;
        copy(transaction, "task", tasks).await?;
    }
    if !later.is_empty() {
        let (ids, states): (Vec<Uuid>, Vec<(State, i64)>) = later.into_iter().unzip();
        let (states, positions): (Vec<i16>, Vec<i64>) =
            states.into_iter().map(|(state, position)| (state as i16, position)).unzip();
        transaction.execute(change_tasks, &[&ids, &states, &positions]).await?;
    }
    Ok(())
}

async fn copy(transaction: &Transaction<'_>, table: &str, rows: CopyRows) -> anyhow::Result<()> {
    let sink =
        transaction.copy_in::<_, Bytes>(&format!("COPY {table} FROM STDIN WITH (FORMAT binary)")).await?;
    let mut sink = std::pin::pin!(sink);
    sink.send(rows.finish()).await?;
    sink.as_mut().finish().await?;
    Ok(())
}

fn task_of(message: &Message) -> anyhow::Result<Uuid> {
    let id = message.subject.rsplit('.').next().context("a subject without an id")?;
    Ok(Uuid::parse_str(id)?)
}

fn sequence_of(message: &Message) -> anyhow::Result<u64> {
    Ok(message.info().map_err(|error| anyhow::anyhow!("{error}"))?.stream_sequence)
}

/// The beginning of the hash of a commit, after it was compared with the one stored.
fn checked_hash(message: &Message) -> anyhow::Result<[u8; 8]> {
    let hash = hash(&message.subject, &message.payload);
    let stored =
        message.headers.as_ref().and_then(|headers| headers.get(HASH)).context("a commit without a hash")?;
    ensure!(stored.as_str() == hex(&hash), "the hash of {} differs from the one stored", message.subject);
    Ok(*hash.first_chunk().context("a hash of 32 bytes")?)
}
