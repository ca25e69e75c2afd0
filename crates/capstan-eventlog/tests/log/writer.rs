//! Writes plausible commits, and waits for what a tail hands out.

use std::borrow::Borrow;
use std::sync::Arc;
use std::time::Duration;

use capstan_envelope::{
    Actor, Commit, CommitId, EventRecord, Metadata, Position, Recorded, StreamHead, StreamId,
};
use capstan_eventlog::{Appended, EventLog, Tail, TailBatch};
use chrono::DateTime;
use uuid::Uuid;

/// Time limit of a single wait.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// One stream and what its writer knows of it.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    pub(crate) stream: StreamId,
    pub(crate) head: StreamHead,
}

impl Writer {
    pub(crate) fn new(stream: &str) -> Self {
        Self { stream: stream.parse().unwrap(), head: StreamHead::default() }
    }

    /// The commit this writer would append next; every call draws another commit id.
    pub(crate) fn decide(&self, note: &str) -> Commit {
        let version = self.head.version + 1;
        let seed = format!("{} {version} {note}", self.stream);
        Commit {
            commit_id: CommitId(Uuid::new_v5(&Uuid::NAMESPACE_URL, seed.as_bytes())),
            stream: self.stream.clone(),
            version,
            previous: self.head.position,
            previous_hash: self.head.hash,
            metadata: Metadata::new(
                "note",
                Actor::System,
                Uuid::nil(),
                DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
            ),
            events: vec![EventRecord {
                name: "noted".to_owned(),
                version: 1,
                data: serde_json::value::to_raw_value(note).unwrap(),
            }],
        }
    }

    /// Takes note of where a commit ended up.
    pub(crate) fn learn(&mut self, commit: &Commit, appended: &Appended) {
        self.head.position = appended.position;
        self.head.version = commit.version;
        self.head.hash = appended.hash;
    }

    /// Appends the next commit, which must succeed.
    pub(crate) async fn write(&mut self, log: &dyn EventLog, note: &str) -> Recorded {
        let commit = self.decide(note);
        let appended = log.append(&commit).await.unwrap();
        assert!(!appended.duplicate, "{note} was stored before");
        self.learn(&commit, &appended);
        log.at(appended.position).await.unwrap().expect("an appended commit stands at its position")
    }
}

/// The text in a commit's first event.
pub(crate) fn note(recorded: &impl Borrow<Recorded>) -> String {
    serde_json::from_str(recorded.borrow().commit.events[0].data.get()).unwrap()
}

pub(crate) fn notes(all: &[impl Borrow<Recorded>]) -> Vec<String> {
    all.iter().map(note).collect()
}

/// The next batch, in bounded time.
pub(crate) async fn batch(tail: &mut Tail) -> TailBatch {
    let batch = tokio::time::timeout(PATIENCE, tail.next()).await;
    batch.expect("a batch comes in time").expect("the tail goes on")
}

/// Reads until the tail has reached the commit with this number; checks that it never goes back.
pub(crate) async fn read_to(tail: &mut Tail, sequence: u64) -> Vec<Arc<Recorded>> {
    let mut all: Vec<Arc<Recorded>> = Vec::new();
    let mut reached = Position::START;
    while reached.sequence() < sequence {
        let batch = batch(tail).await;
        assert!(batch.position >= reached, "the tail went back from {reached} to {}", batch.position);
        for recorded in batch.commits {
            assert!(recorded.position > all.last().map_or(Position::START, |last| last.position));
            assert!(recorded.position <= batch.position);
            all.push(recorded);
        }
        reached = batch.position;
    }
    all
}

/// Waits until something holds.
pub(crate) async fn eventually<T>(what: &str, probe: impl AsyncFnMut() -> Option<T>) -> T {
    capstan_testkit::eventually::eventually(what, PATIENCE, probe).await
}
