//! A log in this process's memory: for tests, and for looking at deciders without a server.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use capstan_envelope::{Commit, CommitHash, CommitId, Position, Recorded, StreamId};
use chrono::{DateTime, Utc};
use tokio::sync::watch;
use uuid::Uuid;

use crate::event_log::check_well_formed;
use crate::{
    AppendError, Appended, EventLog, LogIdentity, ReadError, Selection, Tail, TailBatch, TailSource,
};

/// The largest commit it takes, as a stock server would.
const COMMIT_BYTES_MAX: usize = 1_048_576;

/// How many commits one batch of a tail carries at most.
const BATCH_MAX: usize = 5_000;

/// The log in memory. Clones share the same commits.
#[derive(Clone, Debug)]
pub struct MemoryLog {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    identity: LogIdentity,
    commits: Mutex<Commits>,
    head: watch::Sender<Position>,
}

#[derive(Debug, Default)]
struct Commits {
    in_order: Vec<Recorded>,
    of_stream: HashMap<StreamId, Vec<Position>>,
    known: HashMap<(StreamId, CommitId), Position>,
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryLog {
    /// An empty log with an identity of its own.
    pub fn new() -> Self {
        static DRAWN: AtomicU64 = AtomicU64::new(0);
        let created_at = now();
        let seed = format!(
            "{}-{}-{}",
            std::process::id(),
            created_at.timestamp_nanos_opt().unwrap_or_default(),
            DRAWN.fetch_add(1, Ordering::Relaxed)
        );
        let store_epoch = Uuid::new_v5(&Uuid::NAMESPACE_OID, seed.as_bytes()).to_string();
        Self {
            shared: Arc::new(Shared {
                identity: LogIdentity { store_epoch, created_at },
                commits: Mutex::default(),
                head: watch::Sender::new(Position::START),
            }),
        }
    }

    fn commits(&self) -> MutexGuard<'_, Commits> {
        // Every change below is complete before the guard is dropped, so a poisoned lock hides no half of one.
        self.shared.commits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Commits {
    fn get(&self, position: Position) -> Option<&Recorded> {
        let index = usize::try_from(position.sequence().checked_sub(1)?).ok()?;
        self.in_order.get(index)
    }

    fn head(&self) -> Position {
        Position::new(self.in_order.len() as u64)
    }

    fn stored(&self, commit: &Commit) -> Option<Appended> {
        let position = *self.known.get(&(commit.stream.clone(), commit.commit_id))?;
        let hash = self.get(position)?.hash;
        Some(Appended { position, hash, duplicate: true })
    }

    fn last_of(&self, stream: &StreamId) -> Position {
        self.of_stream.get(stream).and_then(|all| all.last()).copied().unwrap_or(Position::START)
    }

    fn push(&mut self, commit: &Commit, hash: CommitHash) -> Appended {
        let position = self.head().next();
        self.of_stream.entry(commit.stream.clone()).or_default().push(position);
        self.known.insert((commit.stream.clone(), commit.commit_id), position);
        self.in_order.push(Recorded { position, recorded_at: now(), hash, commit: commit.clone() });
        Appended { position, hash, duplicate: false }
    }
}

fn now() -> DateTime<Utc> {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    DateTime::from_timestamp_nanos(since_epoch.as_nanos() as i64)
}

fn encode(commit: &Commit) -> Result<CommitHash, AppendError> {
    check_well_formed(commit)?;
    let bytes = serde_json::to_vec(commit).map_err(|_| AppendError::Invalid {
        stream: commit.stream.clone(),
        reason: "the commit cannot be written as JSON",
    })?;
    if bytes.len() > COMMIT_BYTES_MAX {
        return Err(AppendError::TooLarge {
            stream: commit.stream.clone(),
            size_bytes: bytes.len(),
            limit_bytes: COMMIT_BYTES_MAX,
        });
    }
    Ok(CommitHash::of(&bytes))
}

#[async_trait]
impl EventLog for MemoryLog {
    async fn append(&self, commit: &Commit) -> Result<Appended, AppendError> {
        let mut appended = self.append_together(std::slice::from_ref(commit)).await?;
        Ok(appended.remove(0))
    }

    async fn append_together(&self, group: &[Commit]) -> Result<Vec<Appended>, AppendError> {
        crate::event_log::check_group(group)?;
        let hashes = group.iter().map(encode).collect::<Result<Vec<_>, _>>()?;
        let appended = {
            let mut commits = self.commits();
            if let Some(all) = group.iter().map(|commit| commits.stored(commit)).collect::<Option<Vec<_>>>() {
                return Ok(all);
            }
            for commit in group {
                let stale = commits.last_of(&commit.stream) != commit.previous;
                if stale || commits.stored(commit).is_some() {
                    return Err(AppendError::Conflict { stream: commit.stream.clone() });
                }
            }
            group.iter().zip(hashes).map(|(commit, hash)| commits.push(commit, hash)).collect::<Vec<_>>()
        };
        self.shared.head.send_if_modified(|head| {
            let last = appended.last().map_or(*head, |appended| appended.position);
            let moved = last > *head;
            *head = last.max(*head);
            moved
        });
        Ok(appended)
    }

    async fn last(&self, stream: &StreamId) -> Result<Option<Recorded>, ReadError> {
        let commits = self.commits();
        Ok(commits.get(commits.last_of(stream)).cloned())
    }

    async fn read_stream(&self, stream: &StreamId, after: Position) -> Result<Vec<Recorded>, ReadError> {
        let commits = self.commits();
        let positions = commits.of_stream.get(stream).map(Vec::as_slice).unwrap_or_default();
        let later = positions.iter().filter(|position| **position > after);
        Ok(later.filter_map(|position| commits.get(*position).cloned()).collect())
    }

    async fn at(&self, position: Position) -> Result<Option<Recorded>, ReadError> {
        Ok(self.commits().get(position).cloned())
    }

    async fn tail(&self, selection: Selection, after: Position) -> Result<Tail, ReadError> {
        let head = self.commits().head();
        if after > head {
            return Err(ReadError::Diverged { after, head });
        }
        let moves = self.shared.head.subscribe();
        Ok(Tail::new(MemoryTail { log: self.clone(), selection, position: after, moves, started: false }))
    }

    async fn head(&self) -> Result<Position, ReadError> {
        Ok(self.commits().head())
    }

    async fn identity(&self) -> Result<LogIdentity, ReadError> {
        Ok(self.shared.identity.clone())
    }
}

struct MemoryTail {
    log: MemoryLog,
    selection: Selection,
    position: Position,
    moves: watch::Receiver<Position>,
    started: bool,
}

impl MemoryTail {
    fn read(&self) -> TailBatch {
        let commits = self.log.commits();
        let mut batch = TailBatch { position: self.position, ..TailBatch::default() };
        while let Some(recorded) = commits.get(batch.position.next()) {
            batch.position = recorded.position;
            if self.selection.takes(&recorded.commit.stream) {
                batch.commits.push(recorded.clone());
            }
            if batch.commits.len() == BATCH_MAX {
                break;
            }
        }
        batch.caught_up = batch.position == commits.head();
        batch
    }
}

#[async_trait]
impl TailSource for MemoryTail {
    async fn next(&mut self) -> Result<TailBatch, ReadError> {
        loop {
            let batch = self.read();
            if batch.position > self.position || !self.started {
                self.position = batch.position;
                self.started = true;
                return Ok(batch);
            }
            let here = self.position;
            // The sender lives in the log this tail holds, so waiting can only end with a new commit.
            let _ = self.moves.wait_for(|head| *head > here).await;
        }
    }
}
