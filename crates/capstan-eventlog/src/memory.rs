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
    AppendError, Appended, Archived, Difference, EventLog, FingerprintKey, LogIdentity, ReadError, Selection,
    Tail, TailBatch, TailSource,
};

/// The largest commit it takes, as a stock server would.
const COMMIT_BYTES_MAX: usize = 1_048_576;

/// Most commits in one batch of a tail.
const BATCH_MAX: usize = 5_000;

/// The log in memory. Clones share the same commits.
#[derive(Clone, Debug)]
pub struct MemoryLog {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    identity: LogIdentity,
    fingerprint_key: FingerprintKey,
    commits: Mutex<Commits>,
    /// Number of commits.
    length: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Commits {
    in_order: Vec<Arc<Recorded>>,
    /// Numbers of the commits of each stream.
    of_stream: HashMap<StreamId, Vec<u64>>,
    known: HashMap<(StreamId, CommitId), u64>,
    archived: Archived,
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
                fingerprint_key: FingerprintKey::draw(),
                commits: Mutex::default(),
                length: watch::Sender::new(0),
            }),
        }
    }

    /// Takes the archived beginning out of the log, as an operator does who keeps it elsewhere.
    pub fn archive(&self, archived: Archived) {
        let mut commits = self.commits();
        commits.archived = archived;
        commits.of_stream.values_mut().for_each(|of| of.retain(|sequence| *sequence > archived.through));
    }

    fn commits(&self) -> MutexGuard<'_, Commits> {
        // Every change below is complete before the guard is dropped, so a poisoned lock hides no half of one.
        self.shared.commits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Commits {
    fn get(&self, sequence: u64) -> Option<&Arc<Recorded>> {
        if sequence <= self.archived.through {
            return None;
        }
        let index = usize::try_from(sequence.checked_sub(1)?).ok()?;
        self.in_order.get(index)
    }

    fn at(&self, position: Position) -> Option<&Arc<Recorded>> {
        self.get(position.sequence()).filter(|recorded| recorded.position == position)
    }

    fn head(&self) -> Position {
        self.in_order.last().map_or(Position::START, |recorded| recorded.position)
    }

    fn stored(&self, commit: &Commit) -> Option<Appended> {
        let stored = self.get(*self.known.get(&(commit.stream.clone(), commit.commit_id))?)?;
        Some(Appended { position: stored.position, hash: stored.hash, duplicate: true })
    }

    fn last_of(&self, stream: &StreamId) -> Option<&Arc<Recorded>> {
        self.get(*self.of_stream.get(stream)?.last()?)
    }

    fn push(&mut self, commit: &Commit, hash: CommitHash) -> Appended {
        let sequence = self.in_order.len() as u64 + 1;
        let position = Position::new(sequence, hash);
        self.of_stream.entry(commit.stream.clone()).or_default().push(sequence);
        self.known.insert((commit.stream.clone(), commit.commit_id), sequence);
        self.in_order.push(Arc::new(Recorded { position, recorded_at: now(), hash, commit: commit.clone() }));
        Appended { position, hash, duplicate: false }
    }
}

fn now() -> DateTime<Utc> {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    DateTime::from_timestamp_nanos(since_epoch.as_nanos() as i64)
}

fn encode(commit: &Commit) -> Result<CommitHash, AppendError> {
    check_well_formed(commit)?;
    let bytes = commit.to_bytes().map_err(|_| AppendError::Invalid {
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
    Ok(CommitHash::of(&commit.stream.tokens(), &bytes))
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
                let last = commits.last_of(&commit.stream).map_or(0, |last| last.position.sequence());
                let stale = last != commit.previous.sequence();
                if stale || commits.stored(commit).is_some() {
                    return Err(AppendError::Conflict { stream: commit.stream.clone() });
                }
            }
            group.iter().zip(hashes).map(|(commit, hash)| commits.push(commit, hash)).collect::<Vec<_>>()
        };
        if let Some(last) = appended.last() {
            self.shared.length.send_if_modified(|length| {
                let grown = last.position.sequence() > *length;
                *length = last.position.sequence().max(*length);
                grown
            });
        }
        Ok(appended)
    }

    async fn last(&self, stream: &StreamId) -> Result<Option<Recorded>, ReadError> {
        Ok(self.commits().last_of(stream).map(|last| Recorded::clone(last)))
    }

    async fn read_stream(&self, stream: &StreamId, after: Position) -> Result<Vec<Recorded>, ReadError> {
        let commits = self.commits();
        let all = commits.of_stream.get(stream).map(Vec::as_slice).unwrap_or_default();
        let later = all.iter().filter(|sequence| **sequence > after.sequence());
        Ok(later
            .filter_map(|sequence| commits.get(*sequence))
            .map(|recorded| Recorded::clone(recorded))
            .collect())
    }

    async fn at(&self, position: Position) -> Result<Option<Recorded>, ReadError> {
        Ok(self.commits().at(position).map(|recorded| Recorded::clone(recorded)))
    }

    async fn next(&self, position: Position) -> Result<Option<Recorded>, ReadError> {
        Ok(self
            .commits()
            .get(position.sequence().saturating_add(1))
            .map(|recorded| Recorded::clone(recorded)))
    }

    async fn tail(&self, selection: Selection, after: Position) -> Result<Tail, ReadError> {
        if !self.holds(after).await? {
            let (after, length) = (after.sequence(), self.commits().head().sequence());
            let difference =
                if after > length { Difference::EndsAt(length) } else { Difference::OtherCommit };
            return Err(ReadError::Diverged { after, difference });
        }
        let moves = self.shared.length.subscribe();
        Ok(Tail::new(MemoryTail { log: self.clone(), selection, position: after, moves, started: false }))
    }

    async fn head(&self) -> Result<Position, ReadError> {
        Ok(self.commits().head())
    }

    fn fingerprint_key(&self) -> &FingerprintKey {
        &self.shared.fingerprint_key
    }

    fn archived(&self) -> Archived {
        self.commits().archived
    }

    async fn identity(&self) -> Result<LogIdentity, ReadError> {
        Ok(self.shared.identity.clone())
    }
}

struct MemoryTail {
    log: MemoryLog,
    selection: Selection,
    position: Position,
    moves: watch::Receiver<u64>,
    started: bool,
}

impl MemoryTail {
    fn read(&self) -> TailBatch {
        let commits = self.log.commits();
        let mut batch = TailBatch { position: self.position, ..TailBatch::default() };
        let next = |position: Position| match position {
            Position::START => commits.archived.through + 1,
            position => position.sequence() + 1,
        };
        while let Some(recorded) = commits.get(next(batch.position)) {
            batch.position = recorded.position;
            if self.selection.takes(&recorded.commit.stream) {
                batch.commits.push(Arc::clone(recorded));
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
            let here = self.position.sequence();
            // The sender lives in the log this tail holds, so waiting can only end with a new commit.
            let _ = self.moves.wait_for(|length| *length > here).await;
        }
    }
}
