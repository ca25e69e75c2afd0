//! The shared tail.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use capstan_contract::causes::explain;
use capstan_envelope::{MemoryShare, Position, Recorded};
use capstan_eventlog::{EventLog, ReadError, Selection, TailBatch, Telemetry};
use futures_util::Stream;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::feed::{Feeds, TooSlow};
use crate::frame::GapReason;
use crate::logs::LogHub;
use crate::recent::Recent;
use crate::{Cursor, Lines, Run, Subscription, Until, merged, metric, subscription};

/// Pause before the log is asked again after a failure.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Bounds of what the hub keeps.
#[derive(Clone, Debug)]
pub struct LiveConfig {
    /// Memory of the commits that are kept, with their frames where somebody follows them. Those who come back soon need not read
    /// the log, and a subscriber that is further behind is too slow and is dropped.
    pub recent: MemoryShare,
    /// Most of those commits. By default only their memory counts.
    pub recent_commits_max: usize,
    /// Log lines that may wait for one subscriber before it reads the kept ones again.
    pub lines_max: usize,
    /// Subscribers that may read older history from the log at the same time; others wait their turn.
    pub history_readers_max: usize,
}

impl Default for LiveConfig {
    fn default() -> Self {
        Self {
            recent_commits_max: usize::MAX,
            recent: MemoryShare::unlimited(),
            lines_max: 1_024,
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
    feeds: Feeds,
    /// Number of times all feeds were closed at once, so that a subscriber can tell this from being slow.
    closings: u64,
    /// Reason of the last time.
    closed_for: GapReason,
}

/// A subscriber among those who follow one selection; it leaves when it is dropped.
pub(crate) struct Follower {
    shared: Arc<Shared>,
    selection: Selection,
    news: watch::Receiver<()>,
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
                feeds: Feeds::new(config.recent.clone()),
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
        let logs = LogHub::new(telemetry.into(), stopping.clone(), shared.config.lines_max);
        Ok(Self { shared, logs, _alive: Arc::new(stopping.drop_guard()) })
    }

    /// Follows the selection: everything after the cursor, or everything from now on without one.
    pub fn subscribe(
        &self,
        selection: Selection,
        after: Option<Cursor>,
    ) -> impl Stream<Item = Run> + Send + use<> {
        self.follow(Subscription { selection, after, until: Until::Left })
    }

    /// Follows as [`LiveHub::subscribe`] does, with more to choose.
    pub fn follow(&self, subscription: Subscription) -> impl Stream<Item = Run> + Send + use<> {
        subscription::frames(Arc::clone(&self.shared), subscription)
    }

    /// Follows commits as [`LiveHub::follow`] does, and beside them the output of running agents. The last lines come
    /// before the end.
    pub fn follow_with_lines(
        &self,
        subscription: Subscription,
        lines: Lines,
    ) -> impl Stream<Item = Run> + Send + use<> {
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

    /// Joins the live side behind `cursor`, and answers the end of the log; `None` when memory does not reach back that far.
    pub(crate) fn join(
        self: &Arc<Self>,
        selection: &Selection,
        cursor: Option<Cursor>,
    ) -> Result<Option<(Follower, Position)>, GapReason> {
        let mut guard = self.state();
        let state = &mut *guard;
        let head = state.recent.head();
        let cursor = cursor.unwrap_or(Cursor::after(head));
        if state.recent.refutes(cursor) {
            return Err(GapReason::LogDiverged);
        }
        if !state.recent.reaches(cursor) {
            return Ok(None);
        }
        let news = state.feeds.join(selection, cursor, &state.recent);
        metrics::gauge!(metric::SUBSCRIBERS).increment(1);
        let (shared, selection) = (Arc::clone(self), selection.clone());
        Ok(Some((Follower { shared, selection, news, closings: state.closings }, head)))
    }

    fn publish(self: &Arc<Self>, batch: &TailBatch) {
        {
            let observers = self.observers.lock().unwrap_or_else(PoisonError::into_inner);
            for recorded in &batch.commits {
                observers.iter().for_each(|observer| observer(recorded));
            }
        }
        let mut guard = self.state();
        let state = &mut *guard;
        for recorded in &batch.commits {
            state.feeds.push(recorded);
            state.recent.push(Arc::clone(recorded));
        }
        while let Some(oldest) = state.recent.forget_oldest() {
            state.feeds.forget(&oldest);
        }
        self.position.send_replace(state.recent.head());
        for (selection, due) in state.feeds.settle(&batch.commits, Instant::now()) {
            tokio::spawn(wake_at(due, selection, Arc::downgrade(self)));
        }
    }

    /// The log is another one, or a commit of it cannot be read: what follows does not join what is kept.
    fn restart(&self, head: Position, reason: GapReason) {
        let mut state = self.state();
        state.closings += 1;
        state.closed_for = reason;
        state.feeds.clear();
        state.recent.restart(head);
        self.position.send_replace(head);
    }
}

impl Follower {
    /// The first frames behind `cursor` up to a position at which a page ends; `None` when there are none.
    pub(crate) fn up_to(&self, position: Position, cursor: Cursor) -> Result<Option<Run>, GapReason> {
        let run = self.look(cursor)?;
        Ok(run.filter(|run| run.last().is_some_and(|last| position.reaches(last))))
    }

    /// The next frames behind `cursor`, or why there will be none.
    pub(crate) async fn next(&mut self, cursor: Cursor) -> Result<Run, GapReason> {
        let stopping = self.shared.stopping.clone();
        loop {
            // Before the look: what comes after it ends the wait.
            self.news.mark_unchanged();
            if stopping.is_cancelled() {
                return Err(GapReason::ShuttingDown);
            }
            if let Some(run) = self.look(cursor)? {
                return Ok(run);
            }
            tokio::select! {
                () = stopping.cancelled() => {}
                // The next look tells when the feed is closed.
                _ = self.news.changed() => {}
            }
        }
    }

    fn look(&self, cursor: Cursor) -> Result<Option<Run>, GapReason> {
        let mut state = self.shared.state();
        if state.closings != self.closings {
            return Err(state.closed_for);
        }
        let feed =
            state.feeds.get(&self.selection).expect("a feed that is followed stays until all are closed");
        feed.after(cursor).map_err(|TooSlow| GapReason::SlowSubscriber)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut guard = self.shared.state();
        let state = &mut *guard;
        if state.closings == self.closings {
            state.feeds.leave(&self.selection, state.recent.head());
        }
        metrics::gauge!(metric::SUBSCRIBERS).decrement(1);
    }
}

/// Wakes the followers of a selection at a time.
async fn wake_at(due: Instant, selection: Selection, shared: Weak<Shared>) {
    tokio::time::sleep_until(due).await;
    let Some(shared) = shared.upgrade() else { return };
    if let Some(feed) = shared.state().feeds.get(&selection) {
        feed.wake(Instant::now());
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
    shared: &Arc<Shared>,
    position: &mut Position,
) -> Result<std::convert::Infallible, ReadError> {
    let mut tail = shared.log.tail(Selection::All, *position).await?;
    loop {
        let batch = tail.next().await?;
        *position = batch.position;
        if !batch.commits.is_empty() {
            shared.publish(&batch);
        }
    }
}
