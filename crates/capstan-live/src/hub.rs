//! The shared tail.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use capstan_contract::causes::explain;
use capstan_envelope::{MemoryShare, Position, Recorded};
use capstan_eventlog::{EventLog, ReadError, Selection, TailBatch, Telemetry};
use futures_util::Stream;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::frame::GapReason;
use crate::logs::LogHub;
use crate::metric;
use crate::recent::{Entry, Recent};
use crate::subscribers::Subscribers;
use crate::{Cursor, Frame, Lines, Subscription, Until, merged, subscription};

/// Pause before the log is asked again after a failure.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Bounds of what the hub keeps.
#[derive(Clone, Debug)]
pub struct LiveConfig {
    /// Commits kept in memory, so that those who come back soon need not read the log.
    pub recent_commits_max: usize,
    /// Memory of those commits.
    pub recent: MemoryShare,
    /// Commits that may wait for one subscriber before it counts as slow and is dropped.
    pub queue_max: usize,
    /// Subscribers that may read older history from the log at the same time; others wait their turn.
    pub history_readers_max: usize,
}

impl Default for LiveConfig {
    fn default() -> Self {
        Self {
            recent_commits_max: 50_000,
            recent: MemoryShare::unlimited(),
            queue_max: 16_384,
            history_readers_max: 32,
        }
    }
}

type Observer = Box<dyn Fn(&Recorded) + Send + Sync>;

/// The live side of one process. Clones share everything; the last one to go stops it.
#[derive(Clone)]
pub struct LiveHub {
    pub(crate) shared: Arc<Shared>,
    pub(crate) logs: LogHub,
    _alive: Arc<DropGuard>,
}

pub(crate) struct Shared {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) config: LiveConfig,
    pub(crate) history: Arc<Semaphore>,
    pub(crate) stopping: CancellationToken,
    state: Mutex<State>,
    position: watch::Sender<Position>,
    observers: Mutex<Vec<Observer>>,
}

struct State {
    recent: Recent,
    subscribers: Subscribers,
    /// Number of times all queues were closed at once, so that a subscriber can tell this from being slow.
    closings: u64,
    /// Reason of the last time.
    closed_for: GapReason,
}

/// A joined subscriber: the frames it missed, and a queue of what follows.
pub(crate) struct Joined {
    pub(crate) missed: Vec<Arc<Entry>>,
    pub(crate) head: Position,
    pub(crate) queue: Queue,
}

/// A subscriber's queue; leaving closes it.
pub(crate) struct Queue {
    shared: Arc<Shared>,
    selection: Selection,
    key: u64,
    entries: mpsc::Receiver<Arc<Entry>>,
    closings: u64,
}

impl LiveHub {
    /// Begins to follow the log at its present end. Without telemetry no log lines are followed.
    pub async fn start(
        log: Arc<dyn EventLog>,
        telemetry: impl Into<Option<Telemetry>>,
        config: LiveConfig,
    ) -> Result<Self, ReadError> {
        let head = log.head().await?;
        let stopping = CancellationToken::new();
        let shared = Arc::new(Shared {
            history: Arc::new(Semaphore::new(config.history_readers_max)),
            state: Mutex::new(State {
                recent: Recent::new(head, config.recent_commits_max, config.recent.hold(0)),
                subscribers: Subscribers::default(),
                closings: 0,
                closed_for: GapReason::LogDiverged,
            }),
            position: watch::Sender::new(head),
            observers: Mutex::default(),
            stopping: stopping.clone(),
            log,
            config,
        });
        tokio::spawn(follow(Arc::clone(&shared), head));
        let logs = LogHub::new(telemetry.into(), stopping.clone(), shared.config.queue_max);
        Ok(Self { shared, logs, _alive: Arc::new(stopping.drop_guard()) })
    }

    /// Follows the selection: everything after the cursor, or everything from now on without one.
    pub fn subscribe(
        &self,
        selection: Selection,
        after: Option<Cursor>,
    ) -> impl Stream<Item = Frame> + Send + use<> {
        self.follow(Subscription { selection, after, until: Until::Left })
    }

    /// Follows as [`LiveHub::subscribe`] does, with more to choose.
    pub fn follow(&self, subscription: Subscription) -> impl Stream<Item = Frame> + Send + use<> {
        subscription::frames(Arc::clone(&self.shared), subscription)
    }

    /// Follows commits as [`LiveHub::follow`] does, and beside them the output of running agents. The last lines come
    /// before the end.
    pub fn follow_with_lines(
        &self,
        subscription: Subscription,
        lines: Lines,
    ) -> impl Stream<Item = Frame> + Send + use<> {
        merged::frames(self, subscription, lines)
    }

    /// Calls `observer` with every commit, in log order, before subscribers get it. It must not block.
    pub fn observe(&self, observer: impl Fn(&Recorded) + Send + Sync + 'static) {
        let mut observers = self.shared.observers.lock().unwrap_or_else(PoisonError::into_inner);
        observers.push(Box::new(observer));
    }

    /// Says from memory whether this position is part of the log's history; `None` when it is older than what is kept,
    /// or newer than what has arrived.
    pub fn holds(&self, position: Position) -> Option<bool> {
        self.shared.state().recent.holds(position)
    }

    /// Position of the shared tail.
    pub fn position(&self) -> watch::Receiver<Position> {
        self.shared.position.subscribe()
    }

    /// Ends all streams; each is told where to resume.
    pub fn stop(&self) {
        self.shared.stopping.cancel();
    }
}

impl std::fmt::Debug for LiveHub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveHub").field("position", &*self.shared.position.borrow()).finish_non_exhaustive()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that may panic runs half-way through a change, so a poisoned lock hides no broken state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the shared tail has reached a position that the log holds.
    pub(crate) async fn wait_for(&self, position: Position, at_most: Duration) -> bool {
        let mut reached = self.position.subscribe();
        let wait = reached.wait_for(|reached| reached.reaches(position));
        tokio::time::timeout(at_most, wait).await.is_ok()
    }

    /// Joins the live side behind `cursor`; `None` when memory does not reach back that far. Joining and reading
    /// what was missed are one step, so no commit can fall between them.
    pub(crate) fn join(
        self: &Arc<Self>,
        selection: &Selection,
        cursor: Option<Cursor>,
    ) -> Result<Option<Joined>, GapReason> {
        let mut state = self.state();
        let cursor = cursor.unwrap_or(Cursor::after(state.recent.head()));
        if state.recent.refutes(cursor) {
            return Err(GapReason::LogDiverged);
        }
        if !state.recent.reaches(cursor) {
            return Ok(None);
        }
        let missed = state.recent.after(cursor);
        let missed = missed.filter(|entry| selection.takes(&entry.recorded.commit.stream)).cloned().collect();
        let head = state.recent.head();
        let (key, entries) = state.subscribers.add(selection, self.config.queue_max);
        metrics::gauge!(metric::SUBSCRIBERS).increment(1);
        let queue = Queue {
            shared: Arc::clone(self),
            selection: selection.clone(),
            key,
            entries,
            closings: state.closings,
        };
        Ok(Some(Joined { missed, head, queue }))
    }

    fn publish(&self, batch: TailBatch) {
        let entries: Vec<_> =
            batch.commits.into_iter().map(|recorded| Arc::new(Entry::new(recorded))).collect();
        {
            let observers = self.observers.lock().unwrap_or_else(PoisonError::into_inner);
            for entry in &entries {
                observers.iter().for_each(|observer| observer(&entry.recorded));
            }
        }
        let mut state = self.state();
        for entry in entries {
            state.subscribers.publish(&entry);
            state.recent.push(entry);
        }
        self.position.send_replace(state.recent.head());
    }

    /// The log is another one, or a commit of it cannot be read: what follows does not join what is kept.
    fn restart(&self, head: Position, reason: GapReason) {
        let mut state = self.state();
        state.closings += 1;
        state.closed_for = reason;
        state.subscribers.close();
        state.recent.restart(head);
        self.position.send_replace(head);
    }
}

impl Queue {
    /// The next commit, or why there will be none.
    pub(crate) async fn next(&mut self) -> Result<Arc<Entry>, GapReason> {
        tokio::select! {
            biased;
            () = self.shared.stopping.cancelled() => Err(GapReason::ShuttingDown),
            entry = self.entries.recv() => entry.ok_or_else(|| {
                let state = self.shared.state();
                let was_restarted = state.closings != self.closings;
                if was_restarted { state.closed_for } else { GapReason::SlowSubscriber }
            }),
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.shared.state().subscribers.remove(&self.selection, self.key);
        metrics::gauge!(metric::SUBSCRIBERS).decrement(1);
    }
}

/// Follows the log for everybody until the hub stops.
async fn follow(shared: Arc<Shared>, head: Position) {
    let mut position = head;
    let stopping = shared.stopping.clone();
    let work = async {
        loop {
            let Err(error) = follow_after(&shared, &mut position).await;
            if error.is_retryable() {
                tracing::debug!(error = explain(&error), %position, "the live tail lost the log, trying again");
            } else {
                // Readiness and the projections stop the process's other work; here, only the present counts.
                tracing::error!(error = explain(&error), %position, "the live tail cannot continue, starting at the log's end");
                if let Ok(head) = shared.log.head().await {
                    position = head;
                    shared.restart(head, GapReason::after(&error));
                }
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    };
    tokio::select! {
        () = stopping.cancelled() => {}
        () = work => {}
    }
}

async fn follow_after(
    shared: &Shared,
    position: &mut Position,
) -> Result<std::convert::Infallible, ReadError> {
    let mut tail = shared.log.tail(Selection::All, *position).await?;
    loop {
        let batch = tail.next().await?;
        *position = batch.position;
        if !batch.commits.is_empty() {
            shared.publish(batch);
        }
    }
}
