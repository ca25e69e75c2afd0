//! The models whose rows take from several streams: folded from their own commits, in the order of the log.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;

use capstan_envelope::{Commit, CommitHash, Position, Recorded};
use capstan_eventlog::{RawCommit, ReadError};
use chrono::{DateTime, Utc};

use super::config::ReplayConfig;
use super::record::Record;
use super::spill::{Records, Spill};
use super::{ReplayError, ReplayModels, TakeRows};
use crate::catalogue::ReadModel;
use crate::fact::{Decoded, Fact};
use crate::rows::Rows;

/// Bytes read at once from all buckets together, and the least from one.
const PIECES: usize = 16 * 1024 * 1024;
const PIECE_MIN: usize = 4 * 1024;

/// Commits with what the models over several streams read of them.
pub(crate) struct SpanningCommits {
    models: Vec<&'static ReadModel>,
    kept: Vec<Part>,
}

/// A part of a commit: the events those models read.
struct Part {
    sequence: u64,
    recorded_at: DateTime<Utc>,
    stream: String,
    expected: u64,
    payload: Vec<u8>,
    hash: CommitHash,
}

impl SpanningCommits {
    /// None yet, for these models.
    pub(crate) fn of(models: &[&'static ReadModel]) -> Self {
        Self { models: models.to_vec(), kept: Vec::new() }
    }

    /// Keeps what the models read of a folded commit.
    pub(crate) fn add(&mut self, decoded: &Decoded) -> Result<(), ReadError> {
        let Ok(events) = &decoded.events else { return Ok(()) };
        let mut read = events.iter().map(|event| self.models.iter().any(|model| (model.reads)(event)));
        if !read.by_ref().any(|read| read) {
            return Ok(());
        }
        let Recorded { position, recorded_at, hash, commit } = &decoded.recorded;
        let records = events.iter().zip(&commit.events);
        let records = records.filter(|(event, _)| self.models.iter().any(|model| (model.reads)(event)));
        let part = Commit {
            commit_id: commit.commit_id,
            stream: commit.stream.clone(),
            version: commit.version,
            previous: commit.previous,
            previous_hash: commit.previous_hash,
            metadata: commit.metadata.clone(),
            events: records.map(|(_, record)| record.clone()).collect(),
        };
        let payload = part
            .to_bytes()
            .map_err(|error| ReadError::Corrupt { position: *position, source: error.into() })?;
        self.kept.push(Part {
            sequence: position.sequence(),
            recorded_at: *recorded_at,
            stream: commit.stream.tokens(),
            expected: commit.previous.sequence(),
            payload,
            hash: *hash,
        });
        Ok(())
    }

    /// Puts them aside in a bucket, behind what it holds of their streams.
    pub(crate) fn put_aside(&mut self, spill: &mut Spill, bucket: &mut Option<usize>) -> io::Result<()> {
        for Part { sequence, recorded_at, stream, expected, payload, hash } in self.kept.drain(..) {
            let bucket = *bucket.get_or_insert_with(|| spill.add_bucket());
            let raw = RawCommit { sequence, recorded_at, stream: &stream, expected, payload: &payload };
            Record { raw, hash }.put(spill, |_| bucket)?;
        }
        Ok(())
    }
}

/// Folds what was put aside and hands over the rows. Holds all rows of these models at once.
pub(crate) fn fold_spanning(
    spill: &Spill,
    models: &ReplayModels,
    taker: &dyn TakeRows,
    config: &ReplayConfig,
) -> Result<(), ReplayError> {
    let mut folded: Vec<Box<dyn Rows>> = models.spanning.iter().map(|model| (model.rows)()).collect();
    let piece = (PIECES / spill.buckets().max(1)).clamp(PIECE_MIN, 64 * 1024);
    let failed = |source| config.failed(source);
    let mut merged = Merged::begin(spill, piece).map_err(failed)?;
    while let Some(part) = merged.next().map_err(failed)? {
        let decoded = Decoded::new(part?);
        // It was decoded before.
        let Ok(events) = &decoded.events else { continue };
        for (index, event) in events.iter().enumerate() {
            let fact = Fact::alone(&decoded.recorded, event);
            for rows in &mut folded {
                rows.fold(&fact, index);
            }
        }
    }
    folded.iter().try_for_each(|rows| taker.take(&**rows))
}

/// The commits of several buckets, merged into log order.
struct Merged<'a> {
    buckets: Vec<Records<'a>>,
    /// Number of each bucket's next commit, with the bucket; the smallest first.
    next: BinaryHeap<Reverse<(u64, usize)>>,
}

impl<'a> Merged<'a> {
    fn begin(spill: &'a Spill, piece: usize) -> io::Result<Self> {
        let buckets = (0..spill.buckets()).map(|bucket| spill.read(bucket, piece)).collect();
        let mut merged = Self { buckets, next: BinaryHeap::new() };
        for bucket in 0..merged.buckets.len() {
            merged.look_at(bucket)?;
        }
        Ok(merged)
    }

    fn look_at(&mut self, bucket: usize) -> io::Result<()> {
        if let Some(sequence) = Record::peek_sequence(&mut self.buckets[bucket])? {
            self.next.push(Reverse((sequence, bucket)));
        }
        Ok(())
    }

    fn next(&mut self) -> io::Result<Option<Result<Recorded, ReadError>>> {
        let Some(Reverse((_, bucket))) = self.next.pop() else { return Ok(None) };
        let part = Record::take(&mut self.buckets[bucket])?.map(|record| {
            let part = record.raw.decode()?;
            let position = Position::new(part.position.sequence(), record.hash);
            Ok(Recorded { position, hash: record.hash, ..part })
        });
        self.look_at(bucket)?;
        Ok(part)
    }
}
