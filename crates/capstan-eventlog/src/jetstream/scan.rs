//! Reads the log once, up to a known end, without decoding it.

use async_trait::async_trait;
use capstan_envelope::Position;

use super::cursor::{Cursor, Delivered, Event};
use super::get::expected_in;
use crate::scan::other_end;
use crate::{Difference, ReadError, ScanSource, ScannedCommit, Topology};

/// Most commits handed out at once.
const BATCH_MAX: usize = 1_000;
/// Bytes of them from which on no further one is added, at most; the part of those on their way that makes one batch.
const BATCH_BYTES_MAX: usize = 2 << 20;
const BATCH_PART: usize = 16;

/// A scan of the log.
pub(crate) struct JetStreamScan {
    cursor: Cursor,
    topology: Topology,
    end: Position,
    /// Number of the last commit handed out.
    read: u64,
    batch_bytes_max: usize,
}

impl JetStreamScan {
    /// Up to `end`, from where the cursor stands; about `ahead` bytes are on their way at once.
    pub(crate) fn new(cursor: Cursor, topology: Topology, end: Position, ahead: usize) -> Self {
        let read = cursor.sequence();
        let batch_bytes_max = (ahead / BATCH_PART).min(BATCH_BYTES_MAX);
        Self { cursor: cursor.pulling(ahead / 2), topology, end, read, batch_bytes_max }
    }

    fn take(&mut self, delivered: &Delivered) -> Result<ScannedCommit, ReadError> {
        let Delivered { sequence, recorded_at, message, .. } = delivered;
        let after = self.read;
        let is_next =
            *sequence == after + 1 || (after == 0 && *sequence <= self.cursor.archived_through() + 1);
        if !is_next {
            // The consumer counted without a gap, so the log itself lost what is missing.
            let difference = Difference::CommitsMissing { before: *sequence };
            return Err(ReadError::Diverged { after, difference });
        }
        self.read = *sequence;
        let scanned = ScannedCommit {
            sequence: *sequence,
            recorded_at: *recorded_at,
            stream: self.topology.stream_tokens(&message.subject).to_owned(),
            expected: expected_in(message.headers.as_ref()),
            payload: message.payload.clone(),
        };
        if scanned.raw().may_end(self.end) { Ok(scanned) } else { Err(other_end(self.end)) }
    }
}

#[async_trait]
impl ScanSource for JetStreamScan {
    async fn next(&mut self) -> Result<Option<Vec<ScannedCommit>>, ReadError> {
        let mut scanned = Vec::new();
        if self.read >= self.end.sequence() {
            self.cursor.close().await;
        }
        let mut bytes = 0;
        while self.read < self.end.sequence() && scanned.len() < BATCH_MAX && bytes <= self.batch_bytes_max {
            let delivered = match self.cursor.next_ready() {
                Some(delivered) => delivered,
                None if !scanned.is_empty() => break,
                None => match self.cursor.next().await? {
                    Event::Message(delivered) => delivered,
                    Event::Opened { .. } => continue,
                },
            };
            bytes += delivered.message.payload.len();
            scanned.push(self.take(&delivered)?);
        }
        Ok((!scanned.is_empty()).then_some(scanned))
    }
}
