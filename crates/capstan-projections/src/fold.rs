//! The fold of all models, one commit at a time.

use capstan_contract::causes::explain;
use capstan_contract::{DomainEvent, TaskCodec};
use capstan_domain::{agent, channel, class, schedule, session, task, token, workspace};
use capstan_envelope::{Carried, Codec as _, Held, Position, Recorded, StreamHead, StreamId};
use capstan_eventlog::Archived;
use futures_util::future::try_join_all;
use uuid::Uuid;

use crate::catalogue::streams::{StreamRow, stream_key};
use crate::catalogue::tasks::TaskRow;
use crate::catalogue::{MODELS, model};
use crate::config::ProjectorMemory;
use crate::fact::{Decoded, Fact};
use crate::generation::Schemas;
use crate::model::Named;
use crate::rows::{Batch, ModelRows, Rows};
use crate::session::Session;
use crate::store_error::StoreError;
use crate::table::Outgoing;

/// Commits of a batch however long the rows are.
const READ_MIN: usize = 16;
/// Bytes of a row before any was read.
const READ_AT_FIRST: usize = 64 * 1024;

/// The reason a commit cannot be folded. Its stream is parked; the others continue.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfoldable {
    #[error("an event of the commit cannot be decoded: {0}")]
    Malformed(String),
    #[error("the stream does not start with the event that creates it")]
    NoBeginning,
    #[error("the commit does not follow version {version} at {position}, the last one folded")]
    BrokenChain { version: u64, position: Position },
    #[error("a row was refused: {0}")]
    Refused(String),
}

/// The rows of all models, or of those chosen for a rebuild.
pub(crate) struct Fold {
    streams: ModelRows<StreamRow>,
    tasks: ModelRows<TaskRow>,
    models: Vec<Box<dyn Rows>>,
    writes_streams: bool,
    writes_tasks: bool,
    /// Bytes of rows that are kept after a batch; above it all are dropped and read again when needed.
    pub(crate) kept_bytes_max: usize,
    /// Bytes of rows that a batch reads, as far as they can be foreseen.
    read_bytes_max: usize,
    /// Bytes of the rows in memory, where they have a share.
    held: Option<Held>,
    /// Bytes of a row that is read, by those read last.
    read_mean: usize,
    /// True for a log whose beginning is archived and carried forward.
    is_carried: bool,
}

impl Fold {
    /// A fold of the models `takes` accepts. Streams and tasks are always folded, because they hold the heads of all
    /// streams and what the other models need of a task, but only written when accepted. Its memory has no limit.
    pub(crate) fn for_models(takes: impl Fn(&str) -> bool) -> Self {
        Self {
            streams: ModelRows::default(),
            tasks: ModelRows::default(),
            models: MODELS
                .iter()
                .filter(|model| ![StreamRow::NAME, TaskRow::NAME].contains(&model.name) && takes(model.name))
                .map(|model| (model.rows)())
                .collect(),
            writes_streams: takes(StreamRow::NAME),
            writes_tasks: takes(TaskRow::NAME),
            kept_bytes_max: usize::MAX,
            read_bytes_max: usize::MAX,
            held: None,
            read_mean: READ_AT_FIRST,
            is_carried: false,
        }
    }

    /// This fold of a log of which that is archived.
    pub(crate) fn of(self, archived: Archived) -> Self {
        Self { is_carried: archived.is_carried(), ..self }
    }

    /// This fold with its rows in this memory.
    pub(crate) fn within(self, memory: &ProjectorMemory) -> Self {
        Self {
            kept_bytes_max: memory.kept_bytes(),
            read_bytes_max: memory.read_bytes(),
            held: Some(memory.rows.hold(0)),
            ..self
        }
    }

    /// This fold with so many bytes of rows kept after a batch.
    pub(crate) fn keeping(self, kept_bytes_max: usize) -> Self {
        Self { kept_bytes_max, ..self }
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut dyn Rows> {
        let heads = [&mut self.streams as &mut dyn Rows, &mut self.tasks];
        heads.into_iter().chain(self.models.iter_mut().map(|rows| &mut **rows as &mut dyn Rows))
    }

    fn all(&self) -> impl Iterator<Item = &dyn Rows> {
        let heads = [&self.streams as &dyn Rows, &self.tasks];
        heads.into_iter().chain(self.models.iter().map(|rows| &**rows))
    }

    /// Registers the rows a commit needs from the tables.
    pub(crate) fn want(&mut self, decoded: &Decoded, batch: Batch) {
        let Ok(events) = &decoded.events else { return };
        let commit = &decoded.recorded.commit;
        if let Ok(Some(carried)) = commit.carried() {
            self.all_mut().for_each(|rows| rows.want_carried(&commit.stream, &carried));
        }
        for rows in self.all_mut() {
            for event in events {
                rows.want(&decoded.recorded, event, batch);
            }
        }
    }

    /// True when there are registered rows to read.
    pub(crate) fn lacks_rows(&self) -> bool {
        self.all().any(|rows| rows.lacking() > 0)
    }

    /// Reads the registered rows. The reads of all models are pipelined.
    pub(crate) async fn fetch(&mut self, session: &Session, schemas: &Schemas) -> Result<(), StoreError> {
        let (bytes, lacking) = (self.bytes(), self.all().map(Rows::lacking).sum::<usize>());
        try_join_all(self.all_mut().filter_map(|rows| {
            let schema = schemas.get(rows.name())?;
            Some(rows.fetch(session, schema))
        }))
        .await?;
        let mean = self.bytes().saturating_sub(bytes) / lacking.max(1);
        self.read_mean = mean.max(self.read_mean / 2);
        self.count();
        Ok(())
    }

    /// Most commits of the next batch, when its rows are as long as those that were read last: they are all in memory at once.
    pub(crate) fn commits_max(&self) -> usize {
        (self.read_bytes_max / self.read_mean.max(1)).max(READ_MIN)
    }

    /// Folds one commit into all models, or into none.
    pub(crate) fn fold(&mut self, decoded: &Decoded) -> Result<(), Unfoldable> {
        let recorded = &decoded.recorded;
        let events = decoded.events.as_ref().map_err(|error| Unfoldable::Malformed(explain(error)))?;
        let stream = &recorded.commit.stream;
        let place = Place::of(stream)?;
        let carried = recorded.commit.carried().map_err(|error| Unfoldable::Malformed(explain(&error)))?;
        let head = self.head(&place);
        match head {
            Some(head) if head.position.reaches(recorded.position) => {}
            Some(head) if !head.is_followed_by(recorded) => {
                return Err(Unfoldable::BrokenChain { version: head.version, position: head.position });
            }
            None if carried.is_some() || creates_stream(events) => {}
            None if self.lacks_its_beginning(recorded) => {
                self.fold_rest(recorded, events);
                return Ok(());
            }
            None => return Err(Unfoldable::NoBeginning),
            Some(_) => {}
        }
        if let Some(carried) = carried {
            for rows in self.all_mut() {
                rows.carry(recorded, &carried)
                    .map_err(|error| Unfoldable::Malformed(explain(&Carried::malformed(error))))?;
            }
            return Ok(());
        }
        let left = head.map_or_else(Vec::new, |head| head.keys_left_with(recorded));
        for (index, event) in events.iter().enumerate() {
            let alone = Fact::alone(recorded, event);
            self.streams.fold(&alone, index);
            self.tasks.fold(&alone, index);
            let accepted = task_of(&self.tasks, &place).map(|row| &*row.task.accepted);
            let fact = Fact { accepted, left: &left, ..alone };
            for rows in &mut self.models {
                rows.fold(&fact, index);
            }
        }
        Ok(())
    }

    /// True for a commit of a stream of which only the beginning is archived. What it said is carried forward by a later one.
    fn lacks_its_beginning(&self, recorded: &Recorded) -> bool {
        // Behind the first one of them, the others follow commits that are there.
        self.is_carried && recorded.commit.version > 1
    }

    /// Folds such a commit into the rows that several streams add to.
    fn fold_rest(&mut self, recorded: &Recorded, events: &[DomainEvent]) {
        let spans = |rows: &&mut Box<dyn Rows>| model(rows.name()).is_some_and(|model| model.spans_streams);
        for rows in self.models.iter_mut().filter(spans) {
            for (index, event) in events.iter().enumerate() {
                rows.fold(&Fact::alone(recorded, event), index);
            }
        }
    }

    fn head(&self, place: &Place) -> Option<&StreamHead> {
        match place {
            Place::Task(_) => task_of(&self.tasks, place).map(|row| &row.head),
            Place::Stream(key) => self.streams.entry(key)?.row.as_ref().map(|row| &row.head),
        }
    }

    /// Encodes what changed, and takes it for written; see [`Rows::hand_out`].
    pub(crate) fn hand_out(&mut self, schemas: &Schemas, batch: Batch) -> Result<Vec<Outgoing>, StoreError> {
        let (writes_streams, writes_tasks) = (self.writes_streams, self.writes_tasks);
        let mut statements = Vec::new();
        for rows in self.all_mut() {
            let is_written = match rows.name() {
                StreamRow::NAME => writes_streams,
                TaskRow::NAME => writes_tasks,
                _ => true,
            };
            if let Some(schema) = schemas.get(rows.name()).filter(|_| is_written) {
                rows.hand_out(schema, batch, &mut statements)?;
            }
            rows.settle();
        }
        if self.bytes() > self.kept_bytes_max {
            self.forget();
        } else {
            self.count();
        }
        Ok(statements)
    }

    /// The rows to write, for COPY.
    pub(crate) fn written(&self) -> impl Iterator<Item = &dyn Rows> {
        self.all().filter(|rows| match rows.name() {
            StreamRow::NAME => self.writes_streams,
            TaskRow::NAME => self.writes_tasks,
            _ => true,
        })
    }

    /// Drops all rows.
    pub(crate) fn forget(&mut self) {
        self.all_mut().for_each(Rows::forget);
        self.count();
    }

    fn count(&mut self) {
        let bytes = self.bytes();
        if let Some(held) = &mut self.held {
            held.set(bytes);
        }
    }

    /// Bytes that the rows in memory take, by their documents as last read or written.
    fn bytes(&self) -> usize {
        self.all().map(Rows::bytes).sum()
    }

    /// Number of streams in memory.
    #[cfg(test)]
    pub(crate) fn streams(&self) -> usize {
        self.streams.len() + self.tasks.len()
    }
}

fn task_of<'a>(tasks: &'a ModelRows<TaskRow>, place: &Place) -> Option<&'a TaskRow> {
    let Place::Task(id) = place else { return None };
    tasks.entry(id)?.row.as_ref()
}

/// The row that holds the head of a stream.
enum Place {
    Task(Uuid),
    Stream(String),
}

impl Place {
    fn of(stream: &StreamId) -> Result<Self, Unfoldable> {
        if stream.category() != TaskCodec::CATEGORY {
            return Ok(Self::Stream(stream_key(stream)));
        }
        let id = Uuid::parse_str(stream.id());
        id.map(Self::Task)
            .map_err(|_| Unfoldable::Malformed(format!("{} is not the id of a task", stream.id())))
    }
}

/// True when the commit starts with an event that creates its stream.
fn creates_stream(events: &[DomainEvent]) -> bool {
    events.first().is_some_and(|event| match event {
        DomainEvent::Workspace(event) => matches!(event, workspace::Event::Created(_)),
        DomainEvent::Agent(event) => matches!(event, agent::Event::Created(_)),
        DomainEvent::Schedule(event) => matches!(event, schedule::Event::Created(_)),
        DomainEvent::Channel(event) => matches!(event, channel::Event::Bound(_)),
        // A class is not created: its stream starts with its first setting or failure.
        DomainEvent::Class(event) => matches!(event, class::Event::Configured(_) | class::Event::Degraded(_)),
        DomainEvent::Token(event) => matches!(event, token::Event::Issued(_)),
        DomainEvent::Session(event) => matches!(event, session::Event::Bound(_)),
        DomainEvent::Task(event) => matches!(event, task::Event::TaskAccepted(_)),
    })
}

#[cfg(test)]
mod tests {
    use capstan_domain::id::AgentId;
    use capstan_testkit::servers::TestServers;
    use chrono::Utc;

    use super::*;
    use crate::fact::fixture::{of_agent, of_task};
    use crate::generation;
    use crate::read_models::ReadModels;

    /// A commit of an agent with a role of 15 kB.
    fn created(key: &str, position: u64, version: u64) -> Decoded {
        let agent_id = AgentId::from_key("dev", key);
        let event = agent::Event::Created(agent::Created {
            role: "r".repeat(15_000),
            ..agent::Created::named("dev", key, key, Utc::now())
        });
        of_agent(agent_id, position, version, event)
    }

    /// Empty tables.
    async fn tables() -> (TestServers, Session, Schemas) {
        let servers = TestServers::start().await.unwrap();
        let read_models = ReadModels::connect(&servers.fresh_database().await.unwrap()).unwrap();
        read_models.migrate().await.unwrap();
        let session = read_models.session().await.unwrap();
        let schemas = generation::active(session.client()).await.unwrap();
        (servers, session, schemas)
    }

    /// A task with a message of 100 kB.
    fn accepted(position: u64) -> Decoded {
        let mut sample: serde_json::Value =
            serde_json::from_str(include_str!("../../../schemas/events/task/task-accepted.v1.current.json"))
                .unwrap();
        let id = Uuid::from_u128(position.into());
        sample["task_id"] = id.to_string().into();
        sample["message"] = "m".repeat(100_000).into();
        let accepted = serde_json::from_value::<task::event::TaskAccepted>(sample).unwrap();
        of_task(id, position, 1, task::Event::TaskAccepted(accepted.into()))
    }

    #[tokio::test]
    async fn the_acceptance_counts_as_long_as_its_row_is_in_memory() {
        let (_servers, session, schemas) = tables().await;
        let mut fold = Fold::for_models(|_| true);
        let retried =
            task::event::TaskReprioritised { priority: task::event::Priority::High, at: Utc::now() };
        let changed = |position| {
            let id = Uuid::from_u128(1);
            of_task(id, position, position, task::Event::TaskReprioritised(retried.clone()))
        };
        for decoded in [accepted(1), changed(2)] {
            fold.want(&decoded, Batch::Few);
            fold.fetch(&session, &schemas).await.unwrap();
            fold.fold(&decoded).unwrap();
            for statement in fold.hand_out(&schemas, Batch::Few).unwrap() {
                statement.send(&session).await.unwrap();
            }
            // Beside the texts, the state and the acceptance as they are in memory.
            let held = 100_000 + size_of::<task::Task>() + size_of::<task::event::TaskAccepted>();
            assert!(fold.bytes() > held, "{} bytes after {:?}", fold.bytes(), decoded.recorded.position);
        }
        fold.forget();
        let before = fold.commits_max();
        fold.want(&changed(3), Batch::Few);
        fold.fetch(&session, &schemas).await.unwrap();
        assert!(fold.bytes() > 100_000, "{} bytes as read", fold.bytes());
        assert!(fold.commits_max() < before, "long rows are read in smaller batches");
    }

    #[tokio::test]
    async fn rows_are_dropped_when_their_documents_exceed_the_limit() {
        let (_servers, session, schemas) = tables().await;
        // Written.
        let mut fold = Fold::for_models(|_| true);
        let mut sizes = Vec::new();
        for (position, key) in (1..).zip(["a", "b", "c", "d"]) {
            let decoded = created(key, position, 1);
            fold.want(&decoded, Batch::Few);
            fold.fetch(&session, &schemas).await.unwrap();
            fold.fold(&decoded).unwrap();
            for statement in fold.hand_out(&schemas, Batch::Few).unwrap() {
                statement.send(&session).await.unwrap();
            }
            sizes.push(fold.bytes());
        }
        assert!(sizes[0] > 15_000 && sizes[3] > sizes[2] && sizes[3] > 60_000, "{sizes:?}");
        assert_eq!(fold.streams(), 4);
        fold.kept_bytes_max = sizes[3] - 1;
        fold.hand_out(&schemas, Batch::Few).unwrap();
        assert_eq!((fold.streams(), fold.bytes()), (0, 0));
        // Read back.
        for (position, key) in (5..).zip(["a", "b", "c", "d"]) {
            fold.want(&created(key, position, 2), Batch::Few);
        }
        fold.fetch(&session, &schemas).await.unwrap();
        assert_eq!((fold.streams(), fold.bytes()), (4, sizes[3]));
        fold.hand_out(&schemas, Batch::Few).unwrap();
        assert_eq!((fold.streams(), fold.bytes()), (0, 0));
    }
}
