//! An event with its commit, as a read model folds it.

use std::sync::Arc;

use capstan_contract::DomainEvent;
use capstan_domain::task::event::TaskAccepted;
use capstan_envelope::{Applied, CodecError, CommitId, Recorded};
use chrono::{DateTime, Utc};

/// Memory of a commit besides its events: names, ids, metadata. In bytes.
const COMMIT_BYTES: usize = 1_024;
/// Times the text of an event is in memory: as stored, decoded, and in statements.
const FORMS: usize = 3;

/// A commit, decoded once for all models.
#[derive(Debug)]
pub(crate) struct Decoded {
    /// The commit as the log returned it.
    pub(crate) recorded: Arc<Recorded>,
    /// Its events, or the error of the first that cannot be decoded.
    pub(crate) events: Result<Vec<DomainEvent>, CodecError>,
}

impl Decoded {
    /// Decodes a commit.
    pub(crate) fn new(recorded: impl Into<Arc<Recorded>>) -> Self {
        let recorded = recorded.into();
        let events = capstan_contract::decode_commit(&recorded.commit);
        Self { recorded, events }
    }

    /// Bytes it takes on its way into the tables, about.
    pub(crate) fn bytes(&self) -> usize {
        let stored = self.recorded.commit.events.iter().map(|event| event.data.get().len()).sum::<usize>();
        COMMIT_BYTES + FORMS * stored
    }
}

/// One event with its context.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fact<'a, E = &'a DomainEvent> {
    /// The commit that contains it.
    pub(crate) recorded: &'a Recorded,
    /// The event.
    pub(crate) event: E,
    /// The acceptance of the task, for events of tasks.
    pub(crate) accepted: Option<&'a TaskAccepted>,
    /// The keyed commands that left the head of the stream with this commit.
    pub(crate) left: &'a [(CommitId, Applied)],
}

impl<'a, E> Fact<'a, E> {
    /// An event as its commit says it, without what rows say.
    pub(crate) fn alone(recorded: &'a Recorded, event: E) -> Self {
        Self { recorded, event, accepted: None, left: &[] }
    }

    /// The same context around the event as a model reads it.
    pub(crate) fn with<F>(&self, event: F) -> Fact<'a, F> {
        Fact { recorded: self.recorded, event, accepted: self.accepted, left: self.left }
    }

    /// Time of the decision.
    pub(crate) fn occurred_at(&self) -> DateTime<Utc> {
        self.recorded.commit.metadata.occurred_at
    }

    /// Version of the stream at this commit.
    pub(crate) fn version(&self) -> u64 {
        self.recorded.commit.version
    }

    /// The workspace of the stream.
    pub(crate) fn workspace(&self) -> &'a str {
        self.recorded.commit.stream.workspace().as_str()
    }
}

/// Commits for tests.
#[cfg(test)]
pub(crate) mod fixture {
    use capstan_domain::id::AgentId;
    use capstan_domain::{agent, task};
    use capstan_envelope::{Actor, Commit, CommitHash, CommitId, Metadata, Position, StreamId, Workspace};
    use uuid::Uuid;

    use super::*;

    /// A commit with one event of an agent of `dev`, without hashes.
    pub(crate) fn of_agent(agent: AgentId, position: u64, version: u64, event: agent::Event) -> Decoded {
        of("agent", agent.0, position, version, &DomainEvent::Agent(event))
    }

    /// The same of a task.
    pub(crate) fn of_task(task: Uuid, position: u64, version: u64, event: task::Event) -> Decoded {
        of("task", task, position, version, &DomainEvent::Task(event))
    }

    fn of(category: &str, id: Uuid, position: u64, version: u64, event: &DomainEvent) -> Decoded {
        let commit = Commit {
            commit_id: CommitId(Uuid::from_u128(position.into())),
            stream: StreamId::new(Workspace::new("dev").unwrap(), category, &id.to_string()).unwrap(),
            version,
            previous: Position::START,
            previous_hash: CommitHash::NONE,
            metadata: Metadata::new("test", Actor::Engine, Uuid::nil(), Utc::now()),
            events: vec![event.encode().unwrap()],
        };
        let position = Position::new(position, CommitHash::NONE);
        Decoded::new(Recorded { position, recorded_at: Utc::now(), hash: CommitHash::NONE, commit })
    }
}
