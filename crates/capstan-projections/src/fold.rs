//! The fold of all models, one commit at a time.

use capstan_contract::DomainEvent;
use capstan_contract::causes::explain;
use capstan_domain::{agent, channel, class, schedule, session, task, token, workspace};
use capstan_envelope::{Position, StreamHead};
use futures_util::future::try_join_all;

use crate::catalogue::MODELS;
use crate::catalogue::stream_snapshots::{SnapshotRow, stream_key};
use crate::fact::{Decoded, Fact};
use crate::generation::Schemas;
use crate::model::Named;
use crate::rows::{Batch, ModelRows, Rows, StoreError};
use crate::session::Session;

/// Bytes of documents kept after a batch, over all models; above it all rows are dropped and read again when needed.
const CACHED_BYTES_MAX: usize = 64 * 1024 * 1024;

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
    snapshots: ModelRows<SnapshotRow>,
    models: Vec<Box<dyn Rows>>,
    writes_snapshots: bool,
    cached_bytes_max: usize,
}

impl Fold {
    /// A fold of the models `takes` accepts. The stream snapshots are always folded, because the other models need
    /// them, but only written when accepted.
    pub(crate) fn for_models(takes: impl Fn(&str) -> bool) -> Self {
        Self {
            snapshots: ModelRows::default(),
            models: MODELS[1..]
                .iter()
                .filter(|model| takes(model.name))
                .map(|model| (model.rows)())
                .collect(),
            writes_snapshots: takes(SnapshotRow::NAME),
            cached_bytes_max: CACHED_BYTES_MAX,
        }
    }

    /// Registers the rows a commit needs from the tables.
    pub(crate) fn want(&mut self, decoded: &Decoded, batch: Batch) {
        let Ok(events) = &decoded.events else { return };
        for event in events {
            self.snapshots.want(&decoded.recorded, event, batch);
            for rows in &mut self.models {
                rows.want(&decoded.recorded, event, batch);
            }
        }
    }

    /// Reads the registered rows. The reads of all models are pipelined.
    pub(crate) async fn fetch(&mut self, session: &Session, schemas: &Schemas) -> Result<(), StoreError> {
        let snapshots: &mut dyn Rows = &mut self.snapshots;
        let all =
            std::iter::once(snapshots).chain(self.models.iter_mut().map(|rows| &mut **rows as &mut dyn Rows));
        try_join_all(all.filter_map(|rows| {
            let schema = schemas.get(rows.name())?;
            Some(rows.fetch(session, schema))
        }))
        .await?;
        Ok(())
    }

    /// Folds one commit into all models, or into none.
    pub(crate) fn fold(&mut self, decoded: &Decoded) -> Result<(), Unfoldable> {
        let recorded = &decoded.recorded;
        let events = decoded.events.as_ref().map_err(|error| Unfoldable::Malformed(explain(error)))?;
        let stream = stream_key(&recorded.commit.stream);
        let known = self.snapshots.entry(&stream).and_then(|entry| entry.row.as_ref());
        match known {
            Some(row) if row.head.position.reaches(recorded.position) => {}
            Some(row) if !row.head.is_followed_by(recorded) => {
                let StreamHead { version, position, .. } = row.head;
                return Err(Unfoldable::BrokenChain { version, position });
            }
            None if !creates_stream(events) => return Err(Unfoldable::NoBeginning),
            Some(_) | None => {}
        }
        for (index, event) in events.iter().enumerate() {
            self.snapshots.fold(&Fact { recorded, event, accepted: None }, index);
            let row = self.snapshots.entry(&stream).and_then(|entry| entry.row.as_ref());
            let fact = Fact { recorded, event, accepted: row.and_then(|row| row.accepted()) };
            for rows in &mut self.models {
                rows.fold(&fact, index);
            }
        }
        Ok(())
    }

    /// The rows to write.
    pub(crate) fn written(&self) -> impl Iterator<Item = &dyn Rows> {
        let snapshots = self.writes_snapshots.then_some(&self.snapshots as &dyn Rows);
        snapshots.into_iter().chain(self.models.iter().map(|rows| &**rows))
    }

    /// The rows to write, for COPY.
    pub(crate) fn into_written(self) -> Vec<Box<dyn Rows>> {
        let snapshots = self.writes_snapshots.then(|| Box::new(self.snapshots) as Box<dyn Rows>);
        snapshots.into_iter().chain(self.models).collect()
    }

    /// Marks the changes as written.
    pub(crate) fn settle(&mut self) {
        self.snapshots.settle();
        self.models.iter_mut().for_each(|rows| rows.settle());
        if self.bytes() > self.cached_bytes_max {
            self.forget();
        }
    }

    /// Drops all rows.
    pub(crate) fn forget(&mut self) {
        self.snapshots.forget();
        self.models.iter_mut().for_each(|rows| rows.forget());
    }

    /// Bytes of the documents in memory, as last read or written.
    fn bytes(&self) -> usize {
        self.snapshots.bytes() + self.models.iter().map(|rows| rows.bytes()).sum::<usize>()
    }

    /// Number of streams in memory.
    #[cfg(test)]
    pub(crate) fn streams(&self) -> usize {
        self.snapshots.len()
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
    use capstan_envelope::{Actor, Commit, CommitHash, CommitId, Metadata, Recorded, StreamId, Workspace};
    use capstan_testkit::servers::TestServers;
    use chrono::Utc;
    use uuid::Uuid;

    use super::*;
    use crate::generation;
    use crate::read_models::ReadModels;

    /// A commit of an agent with a role of 15 kB.
    fn created(key: &str, position: u64, version: u64) -> Decoded {
        let agent_id = AgentId::from_key("dev", key);
        let event = agent::Event::Created(agent::Created {
            role: "r".repeat(15_000),
            ..agent::Created::named("dev", key, key, Utc::now())
        });
        let commit = Commit {
            commit_id: CommitId(Uuid::nil()),
            stream: StreamId::new(Workspace::new("dev").unwrap(), "agent", &agent_id.to_string()).unwrap(),
            version,
            previous: Position::START,
            previous_hash: CommitHash::NONE,
            metadata: Metadata::new("test", Actor::Engine, Uuid::nil(), Utc::now()),
            events: vec![DomainEvent::Agent(event).encode().unwrap()],
        };
        let position = Position::new(position, CommitHash::NONE);
        Decoded::new(Recorded { position, recorded_at: Utc::now(), hash: CommitHash::NONE, commit })
    }

    #[tokio::test]
    async fn rows_are_dropped_when_their_documents_exceed_the_limit() {
        let servers = TestServers::start().await.unwrap();
        let read_models = ReadModels::connect(&servers.fresh_database().await.unwrap()).unwrap();
        read_models.migrate().await.unwrap();
        let session = read_models.session().await.unwrap();
        let schemas = generation::active(session.client()).await.unwrap();
        // Written.
        let mut fold = Fold::for_models(|_| true);
        let mut sizes = Vec::new();
        for (position, key) in (1..).zip(["a", "b", "c", "d"]) {
            let decoded = created(key, position, 1);
            fold.want(&decoded, Batch::Next);
            fold.fetch(&session, &schemas).await.unwrap();
            fold.fold(&decoded).unwrap();
            for rows in fold.written() {
                rows.write(&session, &schemas[rows.name()], Batch::Next).await.unwrap();
            }
            fold.settle();
            sizes.push(fold.bytes());
        }
        assert!(sizes[0] > 15_000 && sizes[3] > sizes[2] && sizes[3] > 60_000, "{sizes:?}");
        assert_eq!(fold.streams(), 4);
        fold.cached_bytes_max = sizes[3] - 1;
        fold.settle();
        assert_eq!((fold.streams(), fold.bytes()), (0, 0));
        // Read back.
        for (position, key) in (5..).zip(["a", "b", "c", "d"]) {
            fold.want(&created(key, position, 2), Batch::Next);
        }
        fold.fetch(&session, &schemas).await.unwrap();
        assert_eq!((fold.streams(), fold.bytes()), (4, sizes[3]));
        fold.settle();
        assert_eq!((fold.streams(), fold.bytes()), (0, 0));
    }
}
