//! Commits as they are stored: for readers of the whole log, which decode them elsewhere.

use async_trait::async_trait;
use bytes::Bytes;
use capstan_envelope::{Commit, CommitHash, Position, Recorded, StreamId};
use chrono::{DateTime, Utc};

use crate::{Difference, ReadError, Tail};

/// A commit as the log stores it, with nothing but its bytes: not hashed, not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawCommit<'a> {
    /// Its number in the log.
    pub sequence: u64,
    /// Time the log stored it, by the log's clock.
    pub recorded_at: DateTime<Utc>,
    /// Name of its stream as in subjects: `<workspace>.<category>.<id>`, or whatever stands there.
    pub stream: &'a str,
    /// Number of the stream's commit before this one, as its writer expected it; 0 for none.
    pub expected: u64,
    /// The stored text.
    pub payload: &'a [u8],
}

impl RawCommit<'_> {
    /// The hash of the commit.
    pub fn hash(&self) -> CommitHash {
        CommitHash::of(self.stream, self.payload)
    }

    /// False when `end` names another commit with the number of this one.
    pub(crate) fn may_end(&self, end: Position) -> bool {
        self.sequence != end.sequence() || Position::new(self.sequence, self.hash()) == end
    }

    /// Reads it as the commit it must be.
    pub fn decode(&self) -> Result<Recorded, ReadError> {
        let hash = self.hash();
        let position = Position::new(self.sequence, hash);
        let corrupt = |source| ReadError::Corrupt { position, source };
        let stream = StreamId::from_tokens(self.stream).map_err(|error| corrupt(error.into()))?;
        let commit =
            Commit::from_bytes(stream, self.expected, self.payload).map_err(|error| corrupt(error.into()))?;
        Ok(Recorded { position, recorded_at: self.recorded_at, hash, commit })
    }
}

/// A raw commit that owns its bytes.
#[derive(Clone, Debug)]
pub struct ScannedCommit {
    pub(crate) sequence: u64,
    pub(crate) recorded_at: DateTime<Utc>,
    pub(crate) stream: String,
    pub(crate) expected: u64,
    pub(crate) payload: Bytes,
}

impl ScannedCommit {
    /// The commit, borrowed.
    pub fn raw(&self) -> RawCommit<'_> {
        RawCommit {
            sequence: self.sequence,
            recorded_at: self.recorded_at,
            stream: &self.stream,
            expected: self.expected,
            payload: &self.payload,
        }
    }
}

/// Feeds a [`Scan`]; implemented by each adapter.
#[async_trait]
pub trait ScanSource: Send {
    /// Waits for the next commits; `None` after the last.
    async fn next(&mut self) -> Result<Option<Vec<ScannedCommit>>, ReadError>;
}

/// One pass over the log, to a known end.
pub struct Scan {
    source: Box<dyn ScanSource>,
    bytes: Option<u64>,
}

impl Scan {
    /// Wraps an adapter's source; `bytes` is the size of the log.
    pub fn new(source: impl ScanSource + 'static, bytes: Option<u64>) -> Self {
        Self { source: Box::new(source), bytes }
    }

    /// Bytes of the whole log when the scan began, with what its storage adds; `None` when the log cannot tell.
    pub fn bytes(&self) -> Option<u64> {
        self.bytes
    }

    /// Waits for the next commits, in log order and without a gap; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<Vec<ScannedCommit>>, ReadError> {
        self.source.next().await
    }
}

impl std::fmt::Debug for Scan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scan").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// A scan of a log that has only tails: it encodes the commits again.
pub(crate) struct TailScan {
    tail: Tail,
    end: Position,
    position: Position,
}

impl TailScan {
    /// Up to `end`, from a tail that begins after `position`.
    pub(crate) fn new(tail: Tail, position: Position, end: Position) -> Self {
        Self { tail, end, position }
    }
}

#[async_trait]
impl ScanSource for TailScan {
    async fn next(&mut self) -> Result<Option<Vec<ScannedCommit>>, ReadError> {
        while !self.position.reaches(self.end) {
            let batch = self.tail.next().await?;
            self.position = batch.position;
            let commits = batch.commits.iter().take_while(|commit| self.end.reaches(commit.position));
            let scanned = commits.map(|commit| scanned(commit)).collect::<Result<Vec<_>, _>>()?;
            if scanned.last().is_some_and(|last| !last.raw().may_end(self.end)) {
                return Err(other_end(self.end));
            }
            if !scanned.is_empty() {
                return Ok(Some(scanned));
            }
        }
        Ok(None)
    }
}

/// The log holds another commit where a scan should end: it was restored to an older state, and grew again.
pub(crate) fn other_end(end: Position) -> ReadError {
    ReadError::Diverged { after: end.sequence(), difference: Difference::OtherCommit }
}

fn scanned(recorded: &Recorded) -> Result<ScannedCommit, ReadError> {
    let commit = &recorded.commit;
    let payload = commit
        .to_bytes()
        .map_err(|error| ReadError::Corrupt { position: recorded.position, source: error.into() })?;
    Ok(ScannedCommit {
        sequence: recorded.position.sequence(),
        recorded_at: recorded.recorded_at,
        stream: commit.stream.tokens(),
        expected: commit.previous.sequence(),
        payload: payload.into(),
    })
}
