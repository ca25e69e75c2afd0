//! Folds the whole log in parallel and in bounded memory, for a rebuild or a verification.
//!
//! The log is read once, in order, and put aside undecoded in buckets by stream. Then each bucket is decoded, checked and
//! folded by itself, on all processors, stream by stream: a row follows from the commits of one stream, and those are in
//! one bucket in log order. Models whose rows take from several streams ([`ReadModel::spans_streams`]) are folded last, from their own
//! commits, which the buckets put aside again, merged into log order.

pub(crate) mod bucket;
pub(crate) mod by_stream;
pub(crate) mod config;
pub(crate) mod parked;
pub(crate) mod progress;
pub(crate) mod record;
pub(crate) mod spanning;
pub(crate) mod spill;
pub(crate) mod tally;

use std::path::PathBuf;
use std::sync::Arc;

use capstan_envelope::{Position, Recorded};
use capstan_eventlog::{Archived, EventLog, ReadError, ScannedCommit};
use tokio::sync::mpsc;

use crate::catalogue::ReadModel;
use crate::rows::Rows;
use crate::store_error::StoreError;
use config::ReplayConfig;
use progress::Meter;
use record::Record;
use spanning::LogParts;
use spill::{Spill, bucket_of};

/// Batches of the log that wait to be put aside.
const READ_AHEAD: usize = 4;
/// Bytes of the memory for what is put aside that each bucket has at least: blocks of its file are not much smaller.
const BUCKET_BUFFER_MIN: usize = 16 * 1024;
/// Buckets for each worker, so that all end at about the same time.
const BUCKETS_PER_WORKER: usize = 4;
/// Most buckets; a bucket beyond its share is split when its turn comes.
const BUCKETS_MAX: usize = 1_024;

/// The reason a replay failed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Reading the log failed.
    #[error("read the log")]
    Log(#[from] ReadError),
    /// Commits could not be written to the file, or read back.
    #[error("put commits aside in {}", directory.display())]
    Spill {
        /// Where the file lies.
        directory: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The directory has not enough space for the log.
    #[error("put the log aside: about {needed} bytes are needed in {}, {available} are free", directory.display())]
    NoSpace {
        /// Where the file would lie.
        directory: PathBuf,
        /// Bytes of the log.
        needed: u64,
        /// Bytes that are free.
        available: u64,
    },
    /// The log contains an event this build does not know.
    #[error("fold past {position}: {reason}")]
    UnknownEvent {
        /// Position of the event.
        position: Position,
        /// The decoding error.
        reason: String,
    },
    /// A row could not be written.
    #[error("take the folded rows")]
    Store(#[from] StoreError),
    /// A thread panicked.
    #[error("fold the log")]
    Interrupted(#[from] tokio::task::JoinError),
    /// Whoever takes the rows has given up; it knows why.
    #[error("fold the log: the rows are no longer taken")]
    NotTaken,
}

/// Takes the rows of folded buckets, on any thread.
pub(crate) trait TakeRows: Send + Sync + 'static {
    /// Takes all rows that one model has of some streams; no others have a row in common with them.
    fn take(&self, rows: &dyn Rows) -> Result<(), ReplayError>;
}

/// The log, put aside in buckets.
pub(crate) struct Aside {
    pub(crate) spill: Spill,
    /// The last commit read.
    pub(crate) last: Option<Recorded>,
    /// What of the log is archived.
    pub(crate) archived: Archived,
    /// The parts of the log that models over several streams are folded by.
    pub(crate) parts: LogParts,
}

/// Reads the log up to `end` and puts it aside.
pub(crate) async fn read(
    log: &Arc<dyn EventLog>,
    end: Position,
    config: &ReplayConfig,
    meter: &Arc<Meter>,
) -> Result<Aside, ReplayError> {
    let mut scan = log.scan(Position::START, end, config.ahead()).await?;
    let buckets = bucket_count(scan.bytes(), config);
    if let Some(needed) = scan.bytes().filter(|bytes| *bytes > config.buffer_bytes() as u64) {
        check_space(config, needed)?;
    }
    meter.begin_reading(end.sequence());
    let (sender, batches) = mpsc::channel(READ_AHEAD);
    let filling = {
        let spill = Spill::new(config.directory.clone(), config.buffer_bytes(), buckets);
        let (config, meter) = (config.clone(), Arc::clone(meter));
        let share = config.share();
        tokio::task::spawn_blocking(move || {
            fill(spill, batches, share, &meter).map_err(|source| config.failed(source))
        })
    };
    let mut last = None;
    while let Some(batch) = scan.next().await? {
        let newest = batch.last().cloned();
        if sender.send(batch).await.is_err() {
            // The filler has failed, and says why below.
            break;
        }
        last = newest;
    }
    drop(sender);
    let (spill, parts) = filling.await??;
    let last = last.map(|commit| commit.raw().decode()).transpose()?;
    Ok(Aside { spill, last, archived: log.archived(), parts })
}

fn fill(
    mut spill: Spill,
    mut batches: mpsc::Receiver<Vec<ScannedCommit>>,
    share: u64,
    meter: &Meter,
) -> std::io::Result<(Spill, LogParts)> {
    let mut parts = LogParts::default();
    while let Some(batch) = batches.blocking_recv() {
        let count = batch.len() as u64;
        for commit in batch {
            let buckets = spill.buckets();
            parts.take(&commit.raw(), share);
            Record::whole(commit.raw()).put(&mut spill, |hash| bucket_of(hash, 0, buckets))?;
        }
        meter.read(count, spill.spilled());
    }
    Ok((spill, parts))
}

/// So many that each fits its worker's share of the memory.
fn bucket_count(bytes: Option<u64>, config: &ReplayConfig) -> usize {
    let shares = usize::try_from(bytes.unwrap_or_default().div_ceil(config.share())).unwrap_or(BUCKETS_MAX);
    shares
        .min(config.buffer_bytes() / BUCKET_BUFFER_MIN)
        .clamp(config.workers() * BUCKETS_PER_WORKER, BUCKETS_MAX)
}

fn check_space(config: &ReplayConfig, needed: u64) -> Result<(), ReplayError> {
    let directory = config.directory.clone();
    let space = rustix::fs::statvfs(&directory)
        .map_err(|error| ReplayError::Spill { directory: directory.clone(), source: error.into() })?;
    let available = space.f_bavail.saturating_mul(space.f_frsize);
    if available < needed { Err(ReplayError::NoSpace { directory, needed, available }) } else { Ok(()) }
}

/// The models of a replay, by the way they are folded.
#[derive(Clone, Debug)]
pub(crate) struct ReplayModels {
    /// Each row from one stream.
    pub(crate) by_stream: Vec<&'static ReadModel>,
    /// Rows from several streams.
    pub(crate) spanning: Vec<&'static ReadModel>,
}

impl ReplayModels {
    pub(crate) fn new(models: &[&'static ReadModel]) -> Self {
        let (spanning, by_stream) = models.iter().partition(|model| model.spans_streams);
        Self { by_stream, spanning }
    }

    /// True for a model that is folded stream by stream.
    pub(crate) fn takes(&self, name: &str) -> bool {
        self.by_stream.iter().any(|model| model.name == name)
    }
}
