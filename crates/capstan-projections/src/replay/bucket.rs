//! Folds the buckets of a log, each by itself, on several threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::by_stream::ByStream;
use super::config::ReplayConfig;
use super::parked::ParkedAside;
use super::progress::Meter;
use super::record::Record;
use super::spill::{Records, Spill, bucket_of};
use super::tally::{Refusals, Tally};
use super::{Aside, ReplayError, ReplayModels, TakeRows};
use crate::commits::unknown_event;
use crate::fact::Decoded;
use crate::fold::Fold;

/// Splits of a bucket after which it is folded whatever its size.
const LEVELS_MAX: u32 = 8;

/// What to do with a stream whose commits are more than a worker's share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Oversized {
    /// Leave it to the caller.
    Defer,
    /// Fold it like the others; one at a time.
    FoldAlone,
}

/// The result of folding all buckets.
pub(crate) struct Folded {
    /// What became of the commits.
    pub(crate) tally: Tally,
    /// Commits that are parked.
    pub(crate) parked: ParkedAside,
    /// Streams that were not folded, one in each bucket.
    pub(crate) deferred: Spill,
    /// What the models over several streams read, by part of the log.
    pub(crate) spanning: Spill,
}

/// The next commits of a bucket, at most `max`, and not many more bytes than are read at once; none at the end.
pub(crate) fn next_batch(
    records: &mut Records<'_>,
    max: usize,
    config: &ReplayConfig,
) -> Result<Vec<Decoded>, ReplayError> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while batch.len() < max && bytes < config.batch_bytes() {
        let Some(record) = Record::take(records).map_err(|source| config.failed(source))? else { break };
        bytes += record.raw.payload.len();
        batch.push(decode(&record)?);
    }
    Ok(batch)
}

/// Decodes a commit of which this build must know all events.
pub(crate) fn decode(record: &Record<'_>) -> Result<Decoded, ReplayError> {
    let decoded = Decoded::new(record.raw.decode()?);
    match unknown_event(&decoded) {
        Some(reason) => Err(ReplayError::UnknownEvent { position: decoded.recorded.position, reason }),
        None => Ok(decoded),
    }
}

/// Folds all buckets and hands over their rows.
pub(crate) async fn fold_buckets(
    aside: &Arc<Aside>,
    models: &ReplayModels,
    config: &ReplayConfig,
    oversized: Oversized,
    refusals: &Arc<Refusals>,
    rows: &Arc<dyn TakeRows>,
    meter: &Arc<Meter>,
) -> Result<Folded, ReplayError> {
    let workers = config.workers();
    let folding = Arc::new(Folding {
        share: config.share(),
        config: config.clone(),
        models: models.clone(),
        oversized,
        refusals: Arc::clone(refusals),
        rows: Arc::clone(rows),
        meter: Arc::clone(meter),
        next: AtomicUsize::new(0),
        alone: Mutex::new(()),
        folded: Mutex::new(Folded {
            tally: Tally::new(&[], Arc::clone(refusals)),
            parked: ParkedAside::new(config),
            deferred: Spill::new(config.directory.clone(), config.aside_bytes(), 0),
            spanning: Spill::new(config.directory.clone(), config.aside_bytes(), aside.parts.count()),
        }),
    });
    let threads: Vec<_> = (0..workers)
        .map(|_| {
            let (folding, aside) = (Arc::clone(&folding), Arc::clone(aside));
            tokio::task::spawn_blocking(move || folding.work(&aside))
        })
        .collect();
    let mut outcome = Ok(());
    for thread in threads {
        let ended = thread.await.map_err(ReplayError::from).and_then(|ended| ended);
        // That the rows are not taken is the consequence of another failure.
        if outcome.is_ok() || matches!(outcome, Err(ReplayError::NotTaken)) && ended.is_err() {
            outcome = ended;
        }
    }
    outcome?;
    let folding =
        Arc::into_inner(folding).unwrap_or_else(|| unreachable!("threads that have ended hold nothing"));
    Ok(folding.folded.into_inner().unwrap_or_else(PoisonError::into_inner))
}

struct Folding {
    share: u64,
    config: ReplayConfig,
    models: ReplayModels,
    oversized: Oversized,
    refusals: Arc<Refusals>,
    rows: Arc<dyn TakeRows>,
    meter: Arc<Meter>,
    /// The next bucket to fold; beyond the last when a worker has failed.
    next: AtomicUsize,
    /// Held while a stream is folded that is more than a share.
    alone: Mutex<()>,
    folded: Mutex<Folded>,
}

impl Folding {
    fn work(&self, aside: &Aside) -> Result<(), ReplayError> {
        let mut memory = ByStream::default();
        loop {
            let bucket = self.next.fetch_add(1, Ordering::Relaxed);
            if bucket >= aside.spill.buckets() {
                return Ok(());
            }
            let folded = self.fold_or_split(aside, &aside.spill, bucket, 1, &mut memory);
            if folded.is_err() {
                self.next.store(usize::MAX / 2, Ordering::Relaxed);
                return folded;
            }
        }
    }

    fn fold_or_split(
        &self,
        aside: &Aside,
        spill: &Spill,
        bucket: usize,
        level: u32,
        memory: &mut ByStream,
    ) -> Result<(), ReplayError> {
        let bytes = spill.bytes(bucket);
        if bytes <= self.share {
            return self.fold(aside, spill, bucket, memory);
        }
        if spill.has_one_name(bucket) {
            return match self.oversized {
                Oversized::Defer => self.defer(spill, bucket),
                Oversized::FoldAlone => {
                    let _alone = self.alone.lock().unwrap_or_else(PoisonError::into_inner);
                    self.fold(aside, spill, bucket, memory)
                }
            };
        }
        if level > LEVELS_MAX {
            return self.fold(aside, spill, bucket, memory);
        }
        // Twice as many as would fit: they are not equally large.
        let count = usize::try_from(bytes.div_ceil(self.share) * 2).unwrap_or(usize::MAX).clamp(2, 256);
        let memory_max = usize::try_from(self.share).unwrap_or(usize::MAX);
        let mut parts = Spill::new(self.config.directory.clone(), memory_max, count);
        let failed = |source| self.config.failed(source);
        let mut records = spill.read(bucket, self.config.batch_bytes());
        while let Some(record) = Record::take(&mut records).map_err(failed)? {
            record.put(&mut parts, |hash| bucket_of(hash, level, count)).map_err(failed)?;
        }
        drop(records);
        // The memory is needed for their rows.
        parts.write().map_err(failed)?;
        self.meter.split(count);
        (0..count).try_for_each(|part| self.fold_or_split(aside, &parts, part, level + 1, memory))
    }

    /// Keeps a stream for later.
    fn defer(&self, spill: &Spill, bucket: usize) -> Result<(), ReplayError> {
        let failed = |source| self.config.failed(source);
        let mut records = spill.read(bucket, self.config.batch_bytes());
        let deferred = &mut self.folded().deferred;
        let own = deferred.add_bucket();
        while let Some(record) = Record::take(&mut records).map_err(failed)? {
            record.put(deferred, |_| own).map_err(failed)?;
        }
        self.meter.folded();
        Ok(())
    }

    fn fold(
        &self,
        aside: &Aside,
        spill: &Spill,
        bucket: usize,
        memory: &mut ByStream,
    ) -> Result<(), ReplayError> {
        let failed = |source| self.config.failed(source);
        memory.read(spill, bucket, self.share).map_err(failed)?;
        let fold = Fold::for_models(|name| self.models.takes(name));
        let mut fold = fold.of(aside.archived);
        let mut tally = Tally::new(&self.models.spanning, Arc::clone(&self.refusals));
        let (mut stream, mut bytes) = ("", 0);
        for record in memory.records() {
            let record = record.map_err(failed)?;
            if record.raw.stream != stream && bytes > 2 * self.config.piece_bytes() {
                self.hand_over(&mut fold)?;
                bytes = 0;
            }
            stream = record.raw.stream;
            bytes += record.raw.payload.len();
            let decoded = decode(&record)?;
            if !tally.holds_back(&decoded) {
                let folded = fold.fold(&decoded);
                tally.count(&decoded, folded)?;
            }
        }
        self.hand_over(&mut fold)?;
        self.finish(aside, tally)?;
        self.meter.folded();
        Ok(())
    }

    /// Hands over the rows of streams that are complete.
    fn hand_over(&self, fold: &mut Fold) -> Result<(), ReplayError> {
        fold.written().try_for_each(|rows| self.rows.take(rows))?;
        fold.forget();
        Ok(())
    }

    fn finish(&self, aside: &Aside, mut tally: Tally) -> Result<(), ReplayError> {
        let mut folded = self.folded();
        let Folded { tally: total, parked, spanning, .. } = &mut *folded;
        let put = tally.spanning.put_aside(spanning, &aside.parts);
        put.map_err(|source| self.config.failed(source))?;
        total.absorb(tally, parked)
    }

    fn folded(&self) -> std::sync::MutexGuard<'_, Folded> {
        self.folded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
