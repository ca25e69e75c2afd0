//! A log whose readers near its end share one tail.
//!
//! Every message is received, checked and decoded once in a process, and the newest commits are kept in a ring. A reader that
//! stands in the ring reads from it and waits on it. One that stands elsewhere, because it begins in history or was slow,
//! reads with a tail of its own until it has come into the ring. Nobody waits for anybody.
//!
//! A commit that cannot be decoded, or a log that was replaced, ends the ring; each reader meets the reason with a tail of its own,
//! and the ring begins anew at the log's end.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use capstan_envelope::{Commit, Held, MemoryShare, Position, Recorded, StreamId};
use tokio::sync::{OnceCell, watch};
use tokio::task::AbortHandle;

use crate::{
    AppendError, Appended, Archived, EventLog, FingerprintKey, LogIdentity, ReadError, Scan, Selection, Tail,
    TailBatch, TailSource, metric,
};

/// Memory of a commit besides its data: names, ids, metadata. In bytes.
const COMMIT_OVERHEAD_BYTES: usize = 1_024;
/// The same of an event.
const EVENT_OVERHEAD_BYTES: usize = 256;
/// Commits of a batch from which on nothing is added to it.
const BATCH_COMMITS: usize = 5_000;
/// Pause before the log is asked again after a failure.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// A log whose tails of all commits share one. Everything else is left to the log. Clones share the ring.
#[derive(Clone)]
pub struct SharedTail {
    shared: Arc<Shared>,
}

struct Shared {
    log: Arc<dyn EventLog>,
    ring: Mutex<Ring>,
    /// Counts the changes of the ring.
    changes: watch::Sender<u64>,
    /// The task that fills the ring, once there was a reader.
    follower: OnceCell<AbortHandle>,
}

impl SharedTail {
    /// Shares the tail of this log; the newest commits are kept in this share.
    pub fn new(log: Arc<dyn EventLog>, share: &MemoryShare) -> Self {
        let ring = Mutex::new(Ring::new(share.hold(0)));
        let shared = Shared { log, ring, changes: watch::Sender::new(0), follower: OnceCell::new() };
        Self { shared: Arc::new(shared) }
    }

    /// Begins to fill the ring, from the log's end.
    async fn begin(&self) -> Result<(), ReadError> {
        let begun = self.shared.follower.get_or_try_init(|| async {
            let tail = begin(&self.shared).await?;
            Ok(tokio::spawn(follow(tail, Arc::downgrade(&self.shared))).abort_handle())
        });
        begun.await.map(|_| ())
    }
}

impl std::fmt::Debug for SharedTail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedTail").field("head", &self.shared.ring().head).finish_non_exhaustive()
    }
}

impl Shared {
    fn ring(&self) -> MutexGuard<'_, Ring> {
        // Nothing that may panic runs half-way through a change, so a poisoned lock hides no broken state.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A tail for one reader that stands outside the ring.
    async fn own_tail(&self, after: Position) -> Result<Tail, ReadError> {
        let tail = self.log.tail(Selection::All, after).await?;
        metrics::counter!(metric::OWN_TAILS).increment(1);
        Ok(tail)
    }

    fn change(&self, change: impl FnOnce(&mut Ring)) {
        change(&mut self.ring());
        self.changes.send_modify(|changes| *changes += 1);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(follower) = self.follower.get() {
            follower.abort();
        }
    }
}

/// Begins the ring at the log's end.
async fn begin(shared: &Shared) -> Result<Tail, ReadError> {
    let head = shared.log.head().await?;
    let mut tail = shared.log.tail(Selection::All, head).await?;
    // It comes at once, and says whether more has come since.
    let first = tail.next().await?;
    shared.change(|ring| {
        ring.begin(head);
        ring.push(first);
    });
    Ok(tail)
}

/// Fills the ring. The task is aborted with the last reader.
async fn follow(mut tail: Tail, shared: Weak<Shared>) {
    loop {
        let next = tail.next().await;
        let Some(shared) = shared.upgrade() else { return };
        match next {
            Ok(batch) => {
                shared.change(|ring| ring.push(batch));
                continue;
            }
            Err(ReadError::Unavailable { source }) => shared.change(|ring| ring.fail(source.into())),
            Err(error) => {
                // An ended tail answers the same until the ring has begun anew.
                if shared.ring().is_open {
                    tracing::warn!(%error, "the shared tail cannot continue, it begins anew at the log's end");
                    shared.change(Ring::end);
                }
            }
        }
        tokio::time::sleep(RETRY_PAUSE).await;
        let is_open = shared.ring().is_open;
        if !is_open && let Ok(begun) = begin(&shared).await {
            tail = begun;
        }
    }
}

/// The newest commits.
struct Ring {
    /// False before it began, and after an end until it begins anew.
    is_open: bool,
    /// Everything after this position, up to `head`, is here.
    from: Position,
    head: Position,
    segments: VecDeque<Segment>,
    /// Bytes of the segments.
    held: Held,
    /// True when the log ended at `head` when that was read.
    caught_up: bool,
    failures: u64,
    /// The reason of the last failure.
    failure: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// Commits that are handed out together: a decision over several streams is never cut.
struct Segment {
    commits: Vec<Arc<Recorded>>,
    last: Position,
    bytes: usize,
}

impl Ring {
    fn new(held: Held) -> Self {
        Self {
            is_open: false,
            from: Position::START,
            head: Position::START,
            segments: VecDeque::new(),
            held,
            caught_up: false,
            failures: 0,
            failure: None,
        }
    }

    fn begin(&mut self, head: Position) {
        self.clear();
        (self.is_open, self.from, self.head, self.caught_up) = (true, head, head, false);
    }

    fn end(&mut self) {
        self.clear();
        self.is_open = false;
    }

    fn clear(&mut self) {
        self.segments.clear();
        self.held.set(0);
    }

    fn fail(&mut self, failure: Arc<dyn std::error::Error + Send + Sync>) {
        self.failures += 1;
        self.failure = Some(failure);
    }

    fn push(&mut self, batch: TailBatch) {
        let TailBatch { commits, position, caught_up } = batch;
        (self.head, self.caught_up) = (position, caught_up);
        if commits.is_empty() {
            return;
        }
        let bytes = commits.iter().map(|recorded| bytes_of(recorded)).sum();
        self.held.add(bytes);
        self.segments.push_back(Segment { commits, last: position, bytes });
        while self.held.share().is_exceeded()
            && let Some(oldest) = self.segments.pop_front()
        {
            self.held.remove(oldest.bytes);
            self.from = oldest.last;
        }
    }

    /// True when everything behind this position of the log is here.
    fn reaches(&self, position: Position) -> bool {
        if !self.is_open || [self.from, self.head].contains(&position) {
            return self.is_open;
        }
        let segment = self.segments.partition_point(|segment| !segment.last.reaches(position));
        let is_here =
            |segment: &Segment| segment.commits.iter().any(|recorded| recorded.position == position);
        self.segments.get(segment).is_some_and(is_here)
    }

    /// The commits behind a position that is reached.
    fn after(&self, position: Position) -> TailBatch {
        let first = self.segments.partition_point(|segment| position.reaches(segment.last));
        let mut batch = TailBatch { position, ..TailBatch::default() };
        for segment in self.segments.range(first..) {
            if batch.commits.len() >= BATCH_COMMITS {
                return batch;
            }
            let behind = segment.commits.iter().filter(|recorded| !position.reaches(recorded.position));
            batch.commits.extend(behind.cloned());
            batch.position = segment.last;
        }
        (batch.position, batch.caught_up) = (self.head, self.caught_up);
        batch
    }
}

/// Memory of a commit in bytes, about.
fn bytes_of(recorded: &Recorded) -> usize {
    let events = recorded.commit.events.iter();
    COMMIT_OVERHEAD_BYTES + events.map(|event| EVENT_OVERHEAD_BYTES + event.data.get().len()).sum::<usize>()
}

/// A reader in the ring, or on its way there.
struct Reader {
    shared: Arc<Shared>,
    changes: watch::Receiver<u64>,
    position: Position,
    /// Its tail outside the ring.
    own: Option<Tail>,
    /// The last word about having caught up.
    told: Option<bool>,
    /// Failures of the shared tail it knows of.
    failures: u64,
}

/// The next thing to do for a reader.
enum Step {
    HandOut(TailBatch),
    Fail(ReadError),
    Wait,
    ReadOutside,
}

impl Reader {
    fn look(&mut self) -> Step {
        let ring = self.shared.ring();
        if !ring.reaches(self.position) {
            return Step::ReadOutside;
        }
        self.own = None;
        let batch = ring.after(self.position);
        let has_news = !batch.commits.is_empty() || self.told.is_none_or(|told| batch.caught_up && !told);
        if has_news {
            return Step::HandOut(batch);
        }
        let failure = ring.failure.as_ref().filter(|_| ring.failures > self.failures);
        self.failures = ring.failures;
        match failure {
            Some(failure) => Step::Fail(ReadError::Unavailable { source: Box::new(Arc::clone(failure)) }),
            None => Step::Wait,
        }
    }

    fn hand_out(&mut self, batch: TailBatch) -> TailBatch {
        (self.position, self.told) = (batch.position, Some(batch.caught_up));
        batch
    }
}

#[async_trait]
impl TailSource for Reader {
    async fn next(&mut self) -> Result<TailBatch, ReadError> {
        loop {
            // Before the look: what changes after it ends the wait.
            self.changes.mark_unchanged();
            match self.look() {
                Step::HandOut(batch) => return Ok(self.hand_out(batch)),
                Step::Fail(error) => return Err(error),
                Step::Wait => {
                    // The sender lives as long as its readers.
                    let _ = self.changes.changed().await;
                }
                Step::ReadOutside => {
                    let own = match &mut self.own {
                        Some(own) => own,
                        None => self.own.insert(self.shared.own_tail(self.position).await?),
                    };
                    tokio::select! {
                        biased;
                        batch = own.next() => return Ok(self.hand_out(batch?)),
                        _ = self.changes.changed() => {}
                    }
                }
            }
        }
    }
}

#[async_trait]
impl EventLog for SharedTail {
    async fn append(&self, commit: &Commit) -> Result<Appended, AppendError> {
        self.shared.log.append(commit).await
    }

    async fn append_together(&self, commits: &[Commit]) -> Result<Vec<Appended>, AppendError> {
        self.shared.log.append_together(commits).await
    }

    async fn last(&self, stream: &StreamId) -> Result<Option<Recorded>, ReadError> {
        self.shared.log.last(stream).await
    }

    async fn read_stream(&self, stream: &StreamId, after: Position) -> Result<Vec<Recorded>, ReadError> {
        self.shared.log.read_stream(stream, after).await
    }

    async fn at(&self, position: Position) -> Result<Option<Recorded>, ReadError> {
        self.shared.log.at(position).await
    }

    async fn next(&self, position: Position) -> Result<Option<Recorded>, ReadError> {
        self.shared.log.next(position).await
    }

    async fn holds(&self, position: Position) -> Result<bool, ReadError> {
        self.shared.log.holds(position).await
    }

    async fn tail(&self, selection: Selection, after: Position) -> Result<Tail, ReadError> {
        if selection != Selection::All {
            return self.shared.log.tail(selection, after).await;
        }
        self.begin().await?;
        let (is_here, failures) = {
            let ring = self.shared.ring();
            (ring.reaches(after), ring.failures)
        };
        let own = if is_here { None } else { Some(self.shared.own_tail(after).await?) };
        let (shared, changes) = (Arc::clone(&self.shared), self.shared.changes.subscribe());
        Ok(Tail::new(Reader { shared, changes, position: after, own, told: None, failures }))
    }

    async fn scan(&self, after: Position, end: Position, ahead: usize) -> Result<Scan, ReadError> {
        self.shared.log.scan(after, end, ahead).await
    }

    async fn head(&self) -> Result<Position, ReadError> {
        self.shared.log.head().await
    }

    fn fingerprint_key(&self) -> &FingerprintKey {
        self.shared.log.fingerprint_key()
    }

    fn archived(&self) -> Archived {
        self.shared.log.archived()
    }

    async fn identity(&self) -> Result<LogIdentity, ReadError> {
        self.shared.log.identity().await
    }
}
