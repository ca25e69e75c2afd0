//! The life of one subscriber: missed events, then live ones.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use capstan_contract::causes::explain;
use capstan_envelope::Position;
use capstan_eventlog::{ReadError, Selection, Tail, TailBatch};
use futures_util::{Stream, stream};
use tokio::sync::OwnedSemaphorePermit;

use crate::frame::GapReason;
use crate::hub::{Follower, Shared};
use crate::page::Page;
use crate::{Cursor, Frame, Run, Until, metric};

/// Pause before the log is asked again after a failure.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Time until the log is asked again for a commit that has not arrived.
const ARRIVAL_MAX: Duration = Duration::from_secs(1);

/// A request to follow commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The commits to follow.
    pub selection: Selection,
    /// Everything after this place; from now on when absent.
    pub after: Option<Cursor>,
    /// The end of the stream, once everything before it has been handed out.
    pub until: Until,
}

/// The frames of a subscription, made as they are asked for.
pub(crate) fn frames(
    shared: Arc<Shared>,
    subscription: Subscription,
) -> impl Stream<Item = Run> + Send + use<> {
    let subscriber = Subscriber {
        cursor: subscription.after.unwrap_or(Cursor::after(Position::START)),
        shared,
        subscription,
        is_over: None,
        ready: VecDeque::new(),
        history: None,
        live: None,
        head: None,
        ended: false,
    };
    stream::unfold(subscriber, |mut subscriber| async move {
        let run = subscriber.next().await?;
        Some((run, subscriber))
    })
}

struct Subscriber {
    shared: Arc<Shared>,
    subscription: Subscription,
    /// Behind the last event that was put into `ready`.
    cursor: Cursor,
    /// True when the end has come, as far as the events handed out tell.
    is_over: Option<bool>,
    ready: VecDeque<Run>,
    history: Option<History>,
    live: Option<Follower>,
    /// End of the log when the live side was joined, until everything before it was handed out.
    head: Option<Position>,
    ended: bool,
}

impl Subscriber {
    async fn next(&mut self) -> Option<Run> {
        loop {
            if let Some(run) = self.ready.pop_front() {
                return Some(run);
            }
            if self.ended {
                return None;
            }
            if let Err(stop) = self.step().await {
                self.ended = true;
                (self.live, self.history) = (None, None);
                if stop == GapReason::SlowSubscriber {
                    metrics::counter!(metric::SLOW_SUBSCRIBERS).increment(1);
                }
                self.ready.push_back(Frame::gap(stop, self.cursor).into());
            }
        }
    }

    /// Makes more frames ready.
    async fn step(&mut self) -> Result<(), GapReason> {
        match (&mut self.live, self.head) {
            // In a box: a subscriber spends its life on the live side, and must not hold the room of the way there.
            (None, _) => Box::pin(self.catch_up()).await,
            (Some(live), Some(head)) => match live.up_to(head, self.cursor) {
                Ok(Some(run)) => {
                    self.take(run);
                    Ok(())
                }
                Ok(None) => Box::pin(self.arrive(head)).await,
                // What it still missed is read from the log.
                Err(GapReason::SlowSubscriber) => {
                    (self.live, self.head) = (None, None);
                    Ok(())
                }
                Err(reason) => Err(reason),
            },
            (Some(live), None) => {
                let run = live.next(self.cursor).await?;
                self.take(run);
                Ok(())
            }
        }
    }

    /// Makes frames ready. On the live side they end with the commit that is the end of the stream.
    fn take(&mut self, run: Run) {
        let is_live = self.live.is_some() && self.head.is_none();
        let mut end = None;
        if self.subscription.until != Until::Left {
            for (recorded, before, end_of_commit) in run.commits() {
                self.is_over =
                    self.subscription.until.is_over_after(&recorded.commit, before).or(self.is_over);
                if is_live && self.is_over == Some(true) {
                    end = Some((recorded.position, end_of_commit));
                    break;
                }
            }
        }
        let last = end.map(|(position, _)| position).or(run.last());
        if let Some(last) = last.filter(|last| last.reaches(self.cursor.position())) {
            self.cursor = Cursor::after(last);
        }
        let run = match end {
            Some((_, end)) => run.up_to(end),
            None => run,
        };
        if !run.is_empty() {
            self.ready.push_back(run);
        }
        if let Some((position, _)) = end {
            self.end_if_over(position);
        }
    }

    fn end_if_over(&mut self, position: Position) {
        if self.is_over == Some(true) {
            self.ready.push_back(Frame::end(position).into());
            self.ended = true;
            self.live = None;
        }
    }

    /// Comes from the cursor to the live side.
    async fn catch_up(&mut self) -> Result<(), GapReason> {
        let wanted = self.subscription.after.map(|_| self.cursor);
        if let Some(cursor) = wanted {
            arrival(&self.shared, cursor.position()).await?;
        }
        if let Some((follower, head)) = self.shared.join(&self.subscription.selection, wanted)? {
            self.history = None;
            self.cursor = wanted.unwrap_or(Cursor::after(head));
            self.subscription.after = Some(self.cursor);
            (self.live, self.head) = (Some(follower), Some(head));
            return Ok(());
        }
        let history = match self.history.take() {
            Some(history) => history,
            None => self.open_history().await?,
        };
        self.read_history(history).await
    }

    /// Everything up to `head`, the end of the log when the live side was joined, is handed out.
    async fn arrive(&mut self, head: Position) -> Result<(), GapReason> {
        self.cursor = Cursor::after(head);
        self.head = None;
        self.ready.push_back(Frame::caught_up(head).into());
        if self.subscription.until != Until::Left && self.is_over.is_none() {
            self.is_over = was_over(&self.shared, &self.subscription, head).await?;
        }
        self.end_if_over(head);
        Ok(())
    }

    /// Opens the history behind the cursor. The rest of a commit that was seen in part is read first.
    async fn open_history(&mut self) -> Result<History, GapReason> {
        let position = self.cursor.position();
        let history = History::open(Arc::clone(&self.shared), &self.subscription.selection, position).await?;
        if self.cursor.is_inside() {
            let commit = retrying(&self.shared, || self.shared.log.at(position)).await?;
            let recorded = commit.filter(|commit| self.cursor.fits(commit)).ok_or(GapReason::LogDiverged)?;
            if self.subscription.selection.takes(&recorded.commit.stream) {
                self.take(Arc::new(Page::new(vec![Arc::new(recorded)])).after(self.cursor));
            }
            self.cursor = Cursor::after(position);
        }
        Ok(history)
    }

    /// Reads the next batch of what memory has forgotten. Its frames go out before more is read.
    async fn read_history(&mut self, mut history: History) -> Result<(), GapReason> {
        let batch = history.next().await?;
        for page in Page::split(batch.commits) {
            self.take(Arc::new(page).after(self.cursor));
        }
        self.cursor = Cursor::after(batch.position);
        self.history = Some(history);
        Ok(())
    }
}

/// Waits until the shared tail has reached this position. Another process may have answered a commit that has not
/// arrived in this one. A position that the log does not hold belongs to another log and would never arrive.
async fn arrival(shared: &Shared, position: Position) -> Result<(), GapReason> {
    while !shared.wait_for(position, Duration::ZERO).await {
        if !retrying(shared, || shared.log.holds(position)).await? {
            return Err(GapReason::LogDiverged);
        }
        tokio::select! {
            () = shared.stopping.cancelled() => return Err(GapReason::ShuttingDown),
            _ = shared.wait_for(position, ARRIVAL_MAX) => {}
        }
    }
    Ok(())
}

/// The end by the selected entity's events up to `position`.
async fn was_over(
    shared: &Shared,
    Subscription { selection, until, .. }: &Subscription,
    position: Position,
) -> Result<Option<bool>, GapReason> {
    let Selection::Stream(stream) = selection else { return Ok(None) };
    let commits = retrying(shared, || shared.log.read_stream(stream, Position::START)).await?;
    let seen = commits.iter().filter(|recorded| position.reaches(recorded.position));
    Ok(seen.filter_map(|recorded| until.is_over_after(&recorded.commit, 0)).next_back())
}

/// A tail of a subscriber's own, for as long as memory does not reach back to its cursor.
struct History {
    shared: Arc<Shared>,
    selection: Selection,
    position: Position,
    tail: Tail,
    _turn: OwnedSemaphorePermit,
}

impl History {
    async fn open(shared: Arc<Shared>, selection: &Selection, position: Position) -> Result<Self, GapReason> {
        let turn = tokio::select! {
            () = shared.stopping.cancelled() => return Err(GapReason::ShuttingDown),
            turn = Arc::clone(&shared.history).acquire_owned() => turn.expect("the semaphore is never closed"),
        };
        let tail = retrying(&shared, || shared.log.tail(selection.clone(), position)).await?;
        Ok(Self { selection: selection.clone(), position, tail, _turn: turn, shared })
    }

    async fn next(&mut self) -> Result<TailBatch, GapReason> {
        loop {
            let next = tokio::select! {
                () = self.shared.stopping.cancelled() => return Err(GapReason::ShuttingDown),
                next = self.tail.next() => next,
            };
            match next {
                Ok(batch) => {
                    self.position = batch.position;
                    return Ok(batch);
                }
                Err(error) if error.is_retryable() => {
                    let (selection, position) = (&self.selection, self.position);
                    self.tail =
                        retrying(&self.shared, || self.shared.log.tail(selection.clone(), position)).await?;
                }
                Err(error) => {
                    tracing::warn!(error = explain(&error), "a subscriber's history cannot be read");
                    return Err(GapReason::after(&error));
                }
            }
        }
    }
}

/// Asks the log until it answers; only what asking again cannot heal is given up.
async fn retrying<T, F: Future<Output = Result<T, ReadError>>>(
    shared: &Shared,
    ask: impl Fn() -> F,
) -> Result<T, GapReason> {
    loop {
        let answer = tokio::select! {
            () = shared.stopping.cancelled() => return Err(GapReason::ShuttingDown),
            answer = ask() => answer,
        };
        match answer {
            Ok(answer) => return Ok(answer),
            Err(error) if error.is_retryable() => tokio::time::sleep(RETRY_PAUSE).await,
            Err(error) => {
                tracing::warn!(error = explain(&error), "a subscriber's place in the log cannot be read");
                return Err(GapReason::after(&error));
            }
        }
    }
}
