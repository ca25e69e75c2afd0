//! All models folded together, one commit at a time.

use capstan_contract::DomainEvent;
use capstan_domain::{agent, channel, class, schedule, session, task, token, workspace};
use capstan_envelope::{Position, StreamHead};
use futures_util::future::try_join_all;

use crate::catalogue::all_rows;
use crate::catalogue::stream_snapshots::{StreamSnapshots, stream_key};
use crate::error::explain;
use crate::fact::{Decoded, Fact};
use crate::generation::Schemas;
use crate::rows::{ModelRows, Rows, StoreError};
use crate::session::Session;

/// Bytes of documents kept after a batch, over all models; beyond it all rows are forgotten and read again when needed.
const CACHED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Why a commit cannot be folded. Its stream is parked; the others flow on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfoldable {
    #[error("an event of the commit cannot be read: {0}")]
    Malformed(String),
    #[error("the stream does not begin with the event that makes it")]
    NoBeginning,
    #[error("the commit does not link to version {version} at {position}, the last one folded")]
    BrokenChain { version: u64, position: Position },
    #[error("a row was refused: {0}")]
    Refused(String),
}

/// The rows of all models, or of those chosen for a rebuild.
pub(crate) struct Fold {
    spine: ModelRows<StreamSnapshots>,
    models: Vec<Box<dyn Rows>>,
    writes_spine: bool,
    cached_bytes_max: usize,
}

impl Fold {
    /// A fold of the models `takes` says yes to. The stream snapshots are always folded, as the others need
    /// them, but only written when chosen.
    pub(crate) fn of(takes: impl Fn(&str) -> bool) -> Self {
        Self {
            spine: ModelRows::default(),
            models: all_rows().into_iter().filter(|rows| takes(rows.name())).collect(),
            writes_spine: takes("stream_snapshots"),
            cached_bytes_max: CACHED_BYTES_MAX,
        }
    }

    /// Notes what a commit needs from the tables.
    pub(crate) fn want(&mut self, decoded: &Decoded) {
        let Ok(events) = &decoded.events else { return };
        for event in events {
            self.spine.want(&decoded.recorded, event);
            for rows in &mut self.models {
                rows.want(&decoded.recorded, event);
            }
        }
    }

    /// Reads what was noted. The reads of all models travel together.
    pub(crate) async fn fetch(&mut self, session: &Session, schemas: &Schemas) -> Result<(), StoreError> {
        let spine: &mut dyn Rows = &mut self.spine;
        let all =
            std::iter::once(spine).chain(self.models.iter_mut().map(|rows| &mut **rows as &mut dyn Rows));
        try_join_all(all.filter_map(|rows| {
            let schema = schemas.get(rows.name())?;
            Some(rows.fetch(session, schema))
        }))
        .await?;
        Ok(())
    }

    /// Folds one commit into all models, or none of it.
    pub(crate) fn fold(&mut self, decoded: &Decoded) -> Result<(), Unfoldable> {
        let recorded = &decoded.recorded;
        let events = decoded.events.as_ref().map_err(|error| Unfoldable::Malformed(explain(error)))?;
        let stream = stream_key(&recorded.commit.stream);
        let known = self.spine.entry(&stream).and_then(|entry| entry.row.as_ref());
        match known {
            Some(row) if row.head.position.reaches(recorded.position) => {}
            Some(row) if !row.head.is_followed_by(recorded) => {
                let StreamHead { version, position, .. } = row.head;
                return Err(Unfoldable::BrokenChain { version, position });
            }
            None if !begins(events) => return Err(Unfoldable::NoBeginning),
            Some(_) | None => {}
        }
        for (index, event) in events.iter().enumerate() {
            self.spine.fold(&Fact { recorded, event, accepted: None }, index);
            let row = self.spine.entry(&stream).and_then(|entry| entry.row.as_ref());
            let fact = Fact { recorded, event, accepted: row.and_then(|row| row.accepted()) };
            for rows in &mut self.models {
                rows.fold(&fact, index);
            }
        }
        Ok(())
    }

    /// Everything that is written.
    pub(crate) fn written(&self) -> impl Iterator<Item = &dyn Rows> {
        let spine = self.writes_spine.then_some(&self.spine as &dyn Rows);
        spine.into_iter().chain(self.models.iter().map(|rows| &**rows))
    }

    /// Everything that is written, to hand over to COPY.
    pub(crate) fn into_written(self) -> Vec<Box<dyn Rows>> {
        let spine = self.writes_spine.then(|| Box::new(self.spine) as Box<dyn Rows>);
        spine.into_iter().chain(self.models).collect()
    }

    /// Marks the changes as written.
    pub(crate) fn settle(&mut self) {
        self.spine.settle();
        self.models.iter_mut().for_each(|rows| rows.settle());
        if self.bytes() > self.cached_bytes_max {
            self.forget();
        }
    }

    /// Forgets all rows.
    pub(crate) fn forget(&mut self) {
        self.spine.forget();
        self.models.iter_mut().for_each(|rows| rows.forget());
    }

    /// Bytes of the documents in memory that were read or written.
    fn bytes(&self) -> usize {
        self.spine.bytes() + self.models.iter().map(|rows| rows.bytes()).sum::<usize>()
    }

    /// How many streams are in memory.
    pub(crate) fn streams(&self) -> usize {
        self.spine.len()
    }
}

fn begins(events: &[DomainEvent]) -> bool {
    matches!(
        events.first(),
        Some(
            DomainEvent::Workspace(workspace::Event::Created(_))
                | DomainEvent::Agent(agent::Event::Created(_))
                | DomainEvent::Schedule(schedule::Event::Created(_))
                | DomainEvent::Channel(channel::Event::Bound(_))
                // A class needs no creation: it begins with what is first said of it.
                | DomainEvent::Class(class::Event::Configured(_) | class::Event::Degraded(_))
                | DomainEvent::Token(token::Event::Issued(_))
                | DomainEvent::Session(session::Event::Bound(_))
                | DomainEvent::Task(task::Event::TaskAccepted(_))
        )
    )
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
        let agent_id = AgentId::of_key("dev", key);
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
            metadata: Metadata {
                occurred_at: Utc::now(),
                actor: Actor::Engine,
                command: "test".into(),
                correlation_id: Uuid::nil(),
                causation_id: None,
                traceparent: None,
                idempotency: None,
            },
            events: vec![DomainEvent::Agent(event).encode().unwrap()],
        };
        let position = Position::new(position, CommitHash::NONE);
        Decoded::new(Recorded { position, recorded_at: Utc::now(), hash: CommitHash::NONE, commit })
    }

    #[tokio::test]
    async fn rows_are_forgotten_when_their_documents_grow_too_large_together() {
        let servers = TestServers::start().await.unwrap();
        let read_models = ReadModels::connect(&servers.fresh_database().await.unwrap()).unwrap();
        read_models.migrate().await.unwrap();
        let session = read_models.session().await.unwrap();
        let schemas = generation::active(session.client()).await.unwrap();
        // Written.
        let mut fold = Fold::of(|_| true);
        let mut sizes = Vec::new();
        for (position, key) in (1..).zip(["a", "b", "c", "d"]) {
            let decoded = created(key, position, 1);
            fold.want(&decoded);
            fold.fetch(&session, &schemas).await.unwrap();
            fold.fold(&decoded).unwrap();
            for rows in fold.written() {
                rows.write(&session, &schemas[rows.name()]).await.unwrap();
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
            fold.want(&created(key, position, 2));
        }
        fold.fetch(&session, &schemas).await.unwrap();
        assert_eq!((fold.streams(), fold.bytes()), (4, sizes[3]));
        fold.settle();
        assert_eq!((fold.streams(), fold.bytes()), (0, 0));
    }
}
