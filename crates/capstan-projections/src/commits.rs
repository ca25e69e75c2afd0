//! Commits in log order, decoded once, in batches.

use std::sync::Arc;

use capstan_envelope::{Held, MemoryShare, Position};
use capstan_eventlog::{EventLog, ReadError, Selection, TailBatch};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::config::ProjectorMemory;
use crate::fact::Decoded;

/// Number of batches that wait while one is folded or written, and another is decoded.
const READ_AHEAD: usize = 2;

/// A batch of decoded commits.
pub(crate) struct Arrived {
    pub(crate) commits: Vec<Decoded>,
    /// True when the batch was at the end of the log when it was read.
    pub(crate) caught_up: bool,
    /// Bytes that its commits take.
    pub(crate) held: Held,
}

impl Arrived {
    /// A batch without commits, of this memory.
    pub(crate) fn new(share: &MemoryShare) -> Self {
        Self { commits: Vec::new(), caught_up: false, held: share.hold(0) }
    }

    /// Adds a commit.
    pub(crate) fn push(&mut self, decoded: Decoded) {
        self.held.add(decoded.bytes());
        self.commits.push(decoded);
    }

    /// Adds the next batch.
    pub(crate) fn append(&mut self, next: Self) {
        let Self { commits, caught_up, held } = next;
        self.held.add(held.bytes());
        self.commits.extend(commits);
        self.caught_up = caught_up;
    }
}

/// Reads and decodes the log in a separate task, ahead of the consumer.
pub(crate) struct Reader {
    arrivals: mpsc::Receiver<Result<Arrived, ReadError>>,
    /// A failure that arrived behind commits that are to be applied first.
    failed: Option<ReadError>,
    _task: AbortOnDropHandle<()>,
}

impl Reader {
    /// Starts after a position.
    pub(crate) fn after(log: &Arc<dyn EventLog>, position: Position, memory: &ProjectorMemory) -> Self {
        let (sender, arrivals) = mpsc::channel(READ_AHEAD);
        let (log, memory) = (Arc::clone(log), memory.clone());
        let task = AbortOnDropHandle::new(tokio::spawn(async move {
            if let Err(error) = read(&log, position, &memory, &sender).await {
                // Fails only when the consumer is gone.
                let _ = sender.send(Err(error)).await;
            }
        }));
        Self { arrivals, failed: None, _task: task }
    }

    /// A reader that returns what is sent to it.
    #[cfg(test)]
    pub(crate) fn from_arrivals(arrivals: mpsc::Receiver<Result<Arrived, ReadError>>) -> Self {
        Self { arrivals, failed: None, _task: AbortOnDropHandle::new(tokio::spawn(async {})) }
    }

    /// Waits for the next batch. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<Arrived, ReadError> {
        let gone = || ReadError::Unavailable { source: "the log reader ended".into() };
        if let Some(failed) = self.failed.take() {
            return Err(failed);
        }
        self.arrivals.recv().await.unwrap_or_else(|| Err(gone()))
    }

    /// Keeps a failure for the next call of [`Self::next`].
    pub(crate) fn put_back(&mut self, failed: ReadError) {
        self.failed = Some(failed);
    }

    /// The next batch, if it has arrived.
    pub(crate) fn ready(&mut self) -> Option<Result<Arrived, ReadError>> {
        self.arrivals.try_recv().ok()
    }
}

async fn read(
    log: &Arc<dyn EventLog>,
    after: Position,
    memory: &ProjectorMemory,
    sender: &mpsc::Sender<Result<Arrived, ReadError>>,
) -> Result<(), ReadError> {
    let mut tail = log.tail(Selection::All, after).await?;
    loop {
        let TailBatch { commits, caught_up, .. } = tail.next().await?;
        let mut commits = commits.into_iter();
        loop {
            let mut piece = Arrived::new(&memory.commits);
            while (piece.commits.is_empty() || piece.held.bytes() < memory.piece_bytes())
                && let Some(recorded) = commits.next()
            {
                piece.push(Decoded::new(recorded));
            }
            let is_last = commits.len() == 0;
            piece.caught_up = is_last && caught_up;
            if sender.send(Ok(piece)).await.is_err() {
                return Ok(());
            }
            if is_last {
                break;
            }
        }
    }
}

/// The decoding error of an event of a newer build: neither its commit nor later ones may be applied.
pub(crate) fn unknown_event(decoded: &Decoded) -> Option<String> {
    decoded.events.as_ref().err().filter(|error| error.needs_newer_build()).map(ToString::to_string)
}

/// The first commit with an event of a newer build.
pub(crate) fn first_unknown(commits: &[Decoded]) -> Option<(usize, String)> {
    commits.iter().enumerate().find_map(|(index, decoded)| Some((index, unknown_event(decoded)?)))
}

#[cfg(test)]
mod tests {
    use capstan_envelope::{Actor, Commit, CommitHash, CommitId, EventRecord, Metadata, StreamId, Workspace};
    use capstan_eventlog::MemoryLog;
    use chrono::Utc;
    use serde_json::value::RawValue;
    use uuid::Uuid;

    use super::*;

    /// The first commit of a stream, with an event of 1,000 bytes.
    fn first_of(stream: u128) -> Commit {
        let data = RawValue::from_string(format!("\"{}\"", "x".repeat(998))).unwrap();
        Commit {
            commit_id: CommitId(Uuid::from_u128(stream)),
            stream: StreamId::new(Workspace::new("dev").unwrap(), "task", &stream.to_string()).unwrap(),
            version: 1,
            previous: Position::START,
            previous_hash: CommitHash::NONE,
            metadata: Metadata::new("test", Actor::Engine, Uuid::nil(), Utc::now()),
            events: vec![EventRecord { name: "task-done".into(), version: 1, data }],
        }
    }

    #[tokio::test]
    async fn a_long_batch_of_the_log_is_read_in_pieces_that_fit_the_memory() {
        let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
        for stream in 1..=20 {
            log.append(&first_of(stream)).await.unwrap();
        }
        let memory = ProjectorMemory { commits: MemoryShare::new(100_000), ..ProjectorMemory::default() };
        let mut reader = Reader::after(&log, Position::START, &memory);
        let (mut commits, mut pieces) = (0, Vec::new());
        while pieces.last() != Some(&true) {
            let piece = reader.next().await.unwrap();
            assert!(piece.commits.len() <= 2, "{} commits", piece.commits.len());
            assert!(memory.commits.held() <= memory.commits.limit() / 2, "{} bytes", memory.commits.held());
            commits += piece.commits.len();
            pieces.push(piece.caught_up);
        }
        assert_eq!((commits, pieces.len()), (20, 10), "only the last one is at the end of the log");
        drop(reader);
    }
}
