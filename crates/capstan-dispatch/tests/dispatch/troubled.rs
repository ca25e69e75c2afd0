//! A log that loses answers, refuses, and shows another past.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use capstan_envelope::{Commit, CommitHash, Position, Recorded, StreamId};
use capstan_eventlog::{
    AppendError, Appended, Archived, EventLog, FingerprintKey, LogIdentity, MemoryLog, ReadError, Selection,
    Tail,
};

/// A log with switches for trouble, and a count of appends.
#[derive(Clone)]
pub(crate) struct Troubled {
    pub(crate) inner: MemoryLog,
    pub(crate) lose_ack: Arc<AtomicBool>,
    pub(crate) refuse: Arc<AtomicBool>,
    pub(crate) swap_hash: Arc<AtomicBool>,
    pub(crate) appends: Arc<AtomicUsize>,
    pub(crate) stream_reads: Arc<AtomicUsize>,
}

fn unavailable(stream: &StreamId) -> AppendError {
    AppendError::Unavailable { stream: stream.clone(), source: "no answer".into() }
}

impl Troubled {
    pub(crate) fn new() -> Self {
        Self {
            inner: MemoryLog::new(),
            lose_ack: Arc::default(),
            refuse: Arc::default(),
            swap_hash: Arc::default(),
            appends: Arc::default(),
            stream_reads: Arc::default(),
        }
    }

    fn seen(&self, mut recorded: Recorded) -> Recorded {
        if self.swap_hash.load(Ordering::SeqCst) && recorded.commit.version == 2 {
            recorded.commit.previous_hash = CommitHash::of("dev.note.1", b"another past");
        }
        recorded
    }
}

#[async_trait]
impl EventLog for Troubled {
    async fn append(&self, commit: &Commit) -> Result<Appended, AppendError> {
        self.appends.fetch_add(1, Ordering::SeqCst);
        if self.refuse.swap(false, Ordering::SeqCst) {
            return Err(unavailable(&commit.stream));
        }
        let appended = self.inner.append(commit).await?;
        if self.lose_ack.swap(false, Ordering::SeqCst) {
            return Err(unavailable(&commit.stream));
        }
        Ok(appended)
    }
    async fn append_together(&self, commits: &[Commit]) -> Result<Vec<Appended>, AppendError> {
        let appended = self.inner.append_together(commits).await?;
        if self.lose_ack.swap(false, Ordering::SeqCst) {
            return Err(unavailable(&commits[0].stream));
        }
        Ok(appended)
    }
    fn fingerprint_key(&self) -> &FingerprintKey {
        self.inner.fingerprint_key()
    }

    async fn last(&self, stream: &StreamId) -> Result<Option<Recorded>, ReadError> {
        Ok(self.inner.last(stream).await?.map(|recorded| self.seen(recorded)))
    }
    async fn read_stream(&self, stream: &StreamId, after: Position) -> Result<Vec<Recorded>, ReadError> {
        self.stream_reads.fetch_add(1, Ordering::SeqCst);
        let commits = self.inner.read_stream(stream, after).await?;
        Ok(commits.into_iter().map(|recorded| self.seen(recorded)).collect())
    }
    async fn at(&self, position: Position) -> Result<Option<Recorded>, ReadError> {
        Ok(self.inner.at(position).await?.map(|recorded| self.seen(recorded)))
    }
    async fn next(&self, position: Position) -> Result<Option<Recorded>, ReadError> {
        self.inner.next(position).await
    }
    async fn tail(&self, selection: Selection, after: Position) -> Result<Tail, ReadError> {
        self.inner.tail(selection, after).await
    }
    async fn head(&self) -> Result<Position, ReadError> {
        self.inner.head().await
    }
    fn archived(&self) -> Archived {
        self.inner.archived()
    }
    async fn identity(&self) -> Result<LogIdentity, ReadError> {
        self.inner.identity().await
    }
}
