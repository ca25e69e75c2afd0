//! The contract of every log: append, read, follow.

use std::sync::Arc;

use async_trait::async_trait;
use capstan_envelope::{Commit, CommitHash, Position, Recorded, StreamId, Workspace};
use chrono::{DateTime, Utc};

use crate::scan::TailScan;
use crate::{FingerprintKey, Scan};

/// The log that holds all streams.
#[async_trait]
pub trait EventLog: Send + Sync + 'static {
    /// Appends one commit when its stream still ends at `commit.previous`.
    ///
    /// Repeating a commit that is already stored (same commit id) answers where it stands with
    /// `duplicate: true`. A lost acknowledgement is resolved inside: the adapter looks the commit up before
    /// it says anything else than "stored".
    async fn append(&self, commit: &Commit) -> Result<Appended, AppendError>;

    /// Appends commits of different streams, all or none. The commits share one fate and stand next to each
    /// other in the log. Repeating a stored group answers as [`EventLog::append`] does.
    async fn append_together(&self, commits: &[Commit]) -> Result<Vec<Appended>, AppendError>;

    /// The last commit of a stream; `None` for a stream that does not exist.
    async fn last(&self, stream: &StreamId) -> Result<Option<Recorded>, ReadError>;

    /// All commits of a stream after `after`, in order. The hash of `after` is not compared; see [`EventLog::holds`].
    async fn read_stream(&self, stream: &StreamId, after: Position) -> Result<Vec<Recorded>, ReadError>;

    /// The commit at exactly this position; `None` when the log ends before it or holds another commit there.
    async fn at(&self, position: Position) -> Result<Option<Recorded>, ReadError>;

    /// The commit with the next number after `position`; `None` at the end of the log. The hash is not compared.
    async fn next(&self, position: Position) -> Result<Option<Recorded>, ReadError>;

    /// True when the position is one of this log's history: the beginning, or the place of a commit it holds.
    async fn holds(&self, position: Position) -> Result<bool, ReadError> {
        Ok(position == Position::START || self.at(position).await?.is_some())
    }

    /// Follows the selected commits after `after`: history first, then live, without a seam, a gap or a
    /// repetition. An `after` that the log does not hold is refused with [`ReadError::Diverged`]: beyond the end, or
    /// with the hash of another commit. It is compared again whenever the reader has to begin again.
    async fn tail(&self, selection: Selection, after: Position) -> Result<Tail, ReadError>;

    /// Reads the commits after `after`, up to and including `end`, once, as they are stored. Both must be positions of this
    /// log. About `_ahead` bytes of them are on their way at once.
    async fn scan(&self, after: Position, end: Position, _ahead: usize) -> Result<Scan, ReadError> {
        let tail = self.tail(Selection::All, after).await?;
        Ok(Scan::new(TailScan::new(tail, after, end), None))
    }

    /// The position of the last commit in the whole log.
    async fn head(&self) -> Result<Position, ReadError>;

    /// Key for the fingerprints of command bodies, drawn once when the log was created.
    fn fingerprint_key(&self) -> &FingerprintKey;

    /// What of its beginning the log no longer holds, as this process knows it.
    fn archived(&self) -> Archived {
        Archived::default()
    }

    /// Identity of the log. A value other than the one remembered means that the log was replaced.
    async fn identity(&self) -> Result<LogIdentity, ReadError>;
}

/// The commits to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All of them.
    All,
    /// Those of one tenant.
    Workspace(Workspace),
    /// Those of one stream.
    Stream(StreamId),
}

impl Selection {
    /// True for a stream whose commits are selected.
    pub fn takes(&self, stream: &StreamId) -> bool {
        match self {
            Self::All => true,
            Self::Workspace(workspace) => stream.workspace() == workspace,
            Self::Stream(selected) => stream == selected,
        }
    }
}

/// The outcome of an append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The commit's place in the log.
    pub position: Position,
    /// Hash of the stored bytes: what the stream's next commit must link to.
    pub hash: CommitHash,
    /// True when this very commit had been stored before.
    pub duplicate: bool,
}

/// The beginning of a log that was archived. Both numbers are 0 in a whole log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Archived {
    /// Number of the last archived commit: those up to it may be missing.
    pub through: u64,
    /// Number of the last commit of which the state was carried forward: every stream that ended there or before has a
    /// later commit, which says what stood before.
    pub carried_through: u64,
}

impl Archived {
    /// True when commits are archived, and every stream with one of them is carried forward.
    pub fn is_carried(&self) -> bool {
        self.through > 0 && !self.forgets_streams()
    }

    /// True when a stream of which nothing is left may have been there once.
    pub fn forgets_streams(&self) -> bool {
        self.through > self.carried_through
    }
}

/// The identity of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogIdentity {
    /// Drawn once when the log was created.
    pub store_epoch: String,
    /// Creation time of the log's storage.
    pub created_at: DateTime<Utc>,
}

/// The reasons an append did not happen.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The stream has moved on (or never was where the writer thought). Load and decide again.
    #[error("append to {stream}: the stream has moved on")]
    Conflict {
        /// The stream whose expectation failed.
        stream: StreamId,
    },
    /// The commit is larger than the log takes. Repeating cannot help.
    #[error("append to {stream}: {size_bytes} bytes exceed the log's limit of {limit_bytes}")]
    TooLarge {
        /// The stream the commit was meant for.
        stream: StreamId,
        /// Size of the encoded commit.
        size_bytes: usize,
        /// The log's limit.
        limit_bytes: usize,
    },
    /// The commit itself is not well formed (no events, unwritable JSON, two commits of one stream in a group).
    #[error("append to {stream}: {reason}")]
    Invalid {
        /// The stream the commit was meant for.
        stream: StreamId,
        /// The fault of the commit.
        reason: &'static str,
    },
    /// The log cannot be reached or refuses for now; the commit is known not to be stored, or its fate could
    /// not be learned in time. Repeating the same commit later is safe and right.
    #[error("append to {stream}: the log is not available")]
    Unavailable {
        /// The stream the commit was meant for.
        stream: StreamId,
        /// Error of the transport.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl AppendError {
    /// True when repeating the very same append may succeed.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// Refuses a commit no log should ever hold.
pub(crate) fn check_well_formed(commit: &Commit) -> Result<(), AppendError> {
    let reason = if commit.events.is_empty() {
        "a commit needs at least one event"
    } else if (commit.version <= 1) != (commit.previous_hash == CommitHash::NONE)
        || (commit.version <= 1 && commit.previous != Position::START)
        || commit.version == 0
    {
        // What a commit follows may be archived in a copy of its log.
        "version 1 follows nothing, every other version links to a commit"
    } else {
        return Ok(());
    };
    Err(AppendError::Invalid { stream: commit.stream.clone(), reason })
}

/// Refuses a group whose members could not share one fate.
pub(crate) fn check_group(commits: &[Commit]) -> Result<(), AppendError> {
    let mut streams = std::collections::HashSet::new();
    for commit in commits {
        if commit.stream.workspace() != commits[0].stream.workspace() {
            // A reader of one workspace must see the whole decision, so it cannot reach into another one.
            let reason = "a group stays inside one workspace";
            return Err(AppendError::Invalid { stream: commit.stream.clone(), reason });
        }
        if !streams.insert(&commit.stream) {
            let reason = "a group holds one commit per stream";
            return Err(AppendError::Invalid { stream: commit.stream.clone(), reason });
        }
    }
    Ok(())
}

/// The reasons a read did not happen.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The log cannot be reached for now.
    #[error("read the log: it is not available")]
    Unavailable {
        /// Error of the transport.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A stored message is not a commit.
    #[error("read the log at {position}: the message there is not a commit")]
    Corrupt {
        /// Position of the commit.
        position: Position,
        /// Error of the decoder.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The log does not continue what the reader remembers. Continuing would skip history in silence; rebuild
    /// from the log as it is.
    #[error("follow the log after commit {after}: {difference} (STORE_DIVERGED)")]
    Diverged {
        /// Number of the last commit the reader knows.
        after: u64,
        /// The first difference found.
        difference: Difference,
    },
}

/// The difference between a log and what its reader remembers. Numbers count commits from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Difference {
    /// The log is shorter.
    #[error("the log ends at commit {0}")]
    EndsAt(u64),
    /// The log holds another commit where the reader stands.
    #[error("the log holds another commit there")]
    OtherCommit,
    /// The log was replaced while it was read.
    #[error("the log was replaced")]
    Replaced,
    /// Commits that the reader has not seen are gone.
    #[error("commits before {before} are missing")]
    CommitsMissing {
        /// Number of the next commit that is there.
        before: u64,
    },
}

impl ReadError {
    /// True when asking again may succeed.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// Some commits in log order, and where the log stood when they were read.
#[derive(Clone, Debug, Default)]
pub struct TailBatch {
    /// Selected commits; empty when only progress is reported.
    pub commits: Vec<Arc<Recorded>>,
    /// Everything selected up to and including this position has now been handed out.
    pub position: Position,
    /// True when nothing selected was left behind at the time of reading: the reader is live.
    pub caught_up: bool,
}

/// Feeds a [`Tail`]; implemented by each adapter.
#[async_trait]
pub trait TailSource: Send {
    /// Waits for the next batch; heals reconnects from its own cursor.
    async fn next(&mut self) -> Result<TailBatch, ReadError>;
}

/// A cursor that follows the log.
pub struct Tail {
    source: Box<dyn TailSource>,
}

impl Tail {
    /// Wraps an adapter's source.
    pub fn new(source: impl TailSource + 'static) -> Self {
        Self { source: Box::new(source) }
    }

    /// Waits for the next batch. Cancel-safe: a dropped call loses nothing. The first batch comes at once,
    /// even when empty, so that a reader learns that it is live.
    pub async fn next(&mut self) -> Result<TailBatch, ReadError> {
        self.source.next().await
    }
}

impl std::fmt::Debug for Tail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tail")
    }
}
