//! Commits in log order, decoded once, in batches.

use std::sync::Arc;

use capstan_envelope::Position;
use capstan_eventlog::{EventLog, ReadError, Selection};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::fact::Decoded;

/// Number of batches read ahead while one is folded or written.
const READ_AHEAD: usize = 2;

/// A batch of decoded commits.
pub(crate) struct Arrived {
    pub(crate) commits: Vec<Decoded>,
    /// True when the batch was at the end of the log when it was read.
    pub(crate) caught_up: bool,
}

impl Arrived {
    /// Bytes of its events as stored.
    pub(crate) fn bytes(&self) -> usize {
        self.commits.iter().map(Decoded::bytes).sum()
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
    pub(crate) fn after(log: &Arc<dyn EventLog>, position: Position) -> Self {
        let (sender, arrivals) = mpsc::channel(READ_AHEAD);
        let log = Arc::clone(log);
        let task = AbortOnDropHandle::new(tokio::spawn(async move {
            if let Err(error) = read(&log, position, &sender).await {
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
    sender: &mpsc::Sender<Result<Arrived, ReadError>>,
) -> Result<(), ReadError> {
    let mut tail = log.tail(Selection::All, after).await?;
    loop {
        let batch = tail.next().await?;
        let commits = batch.commits.into_iter().map(Decoded::new).collect();
        let arrived = Arrived { commits, caught_up: batch.caught_up };
        if sender.send(Ok(arrived)).await.is_err() {
            return Ok(());
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
