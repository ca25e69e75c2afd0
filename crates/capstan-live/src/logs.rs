//! The output of running agents: one tail per workspace, as long as somebody watches.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use capstan_contract::causes::explain;
use capstan_envelope::Workspace;
use capstan_eventlog::{Telemetry, TelemetryError, TelemetryLine, TelemetryTail};
use futures_util::{Stream, stream};
use serde_json::json;
use serde_json::value::to_raw_value;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Mutex, broadcast};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::line::shown_line;
use crate::{Frame, LOG};

/// Pause before the lines are asked for again after a failure.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// Time limit for each page of the last lines; after it, their follower is told that some are missing.
const LAST_LINES_MAX: Duration = Duration::from_secs(10);
/// Kept lines read at a time.
const PAGE: usize = 500;
/// Beyond the end, wherever it is: taken as the end.
const FROM_NOW_ON: u64 = u64::MAX;

/// The lines of one workspace as they come.
#[derive(Clone)]
struct Lines {
    sender: broadcast::Sender<Arc<TelemetryLine>>,
    /// Place of the last line that was sent, or is about to be.
    last: Arc<AtomicU64>,
}

/// What a follower of lines gets.
pub(crate) enum Step {
    /// "From now on" begins after this place.
    From(u64),
    /// The place asked for is beyond the end: the lines after this one follow, and what was before them is missing.
    Skipped(u64),
    /// The line at this place.
    Line(u64, Frame),
    /// Lines cannot be read. Nothing follows.
    Unavailable,
}

/// The shared tails.
#[derive(Clone)]
pub(crate) struct LogHub {
    shared: Arc<Shared>,
}

struct Shared {
    telemetry: Option<Telemetry>,
    stopping: CancellationToken,
    lines_max: usize,
    tails: Mutex<HashMap<Workspace, Lines>>,
}

impl LogHub {
    pub(crate) fn new(telemetry: Option<Telemetry>, stopping: CancellationToken, lines_max: usize) -> Self {
        Self { shared: Arc::new(Shared { telemetry, stopping, lines_max, tails: Mutex::default() }) }
    }

    /// Follows the lines of a task, or of a whole workspace: those after this place, or from now on. Once `over` is
    /// cancelled, the lines that are kept are the last ones.
    pub(crate) fn follow(
        &self,
        workspace: Workspace,
        task: Option<Uuid>,
        after: Option<u64>,
        over: CancellationToken,
    ) -> impl Stream<Item = Step> + Send + use<> {
        let follower = Follower {
            shared: Arc::clone(&self.shared),
            workspace,
            task,
            last: after,
            kept_after: after,
            joined_at: 0,
            queue: None,
            ready: VecDeque::new(),
            over,
            is_ending: false,
            has_ended: false,
        };
        stream::unfold(follower, |mut follower| async move {
            let stopping = follower.shared.stopping.clone();
            let step = tokio::select! {
                biased;
                () = stopping.cancelled() => None,
                step = follower.next() => step,
            };
            Some((step?, follower))
        })
    }
}

/// One follower of lines.
struct Follower {
    shared: Arc<Shared>,
    workspace: Workspace,
    task: Option<Uuid>,
    /// The last line handed out; `None` until the place where "from now on" begins is known.
    last: Option<u64>,
    /// Kept lines after this one are still to be read.
    kept_after: Option<u64>,
    /// A place that the lines had reached when the queue was joined; 0 before.
    joined_at: u64,
    queue: Option<broadcast::Receiver<Arc<TelemetryLine>>>,
    ready: VecDeque<Step>,
    /// Cancelled when nothing more is written.
    over: CancellationToken,
    is_ending: bool,
    has_ended: bool,
}

impl Follower {
    async fn next(&mut self) -> Option<Step> {
        let shared = Arc::clone(&self.shared);
        let telemetry = shared.telemetry.as_ref()?;
        let over = self.over.clone();
        while self.ready.is_empty() && !self.has_ended {
            tokio::select! {
                biased;
                () = over.cancelled() => self.advance_to_end(telemetry).await,
                () = self.advance(telemetry) => {}
            }
        }
        self.ready.pop_front()
    }

    /// Makes more lines ready, or comes closer to them. May be dropped at any time: what it changes, it changes at once.
    async fn advance(&mut self, telemetry: &Telemetry) {
        // First the live side, then what is kept: what comes in between is then in both, and in none never.
        let Some(queue) = &mut self.queue else { return self.join(telemetry).await };
        if let Some(after) = self.kept_after {
            self.read_kept(telemetry, after).await;
            return;
        }
        match queue.recv().await {
            Ok(line) => self.take(&line),
            Err(RecvError::Lagged(_)) => self.kept_after = self.last,
            Err(RecvError::Closed) => (self.queue, self.kept_after) = (None, self.last),
        }
    }

    async fn join(&mut self, telemetry: &Telemetry) {
        let (now, queue) = self.shared.join(telemetry, &self.workspace).await;
        (self.joined_at, self.queue) = (now, Some(queue));
        if self.last.is_none() {
            self.last = Some(now);
            self.ready.push_back(Step::From(now));
        }
    }

    /// Makes a page of kept lines ready; false when it cannot be read for now.
    async fn read_kept(&mut self, telemetry: &Telemetry, after: u64) -> bool {
        let page = async {
            let lines = telemetry.read(&self.workspace, self.task, after, PAGE).await?;
            // Beyond the end of another log, new lines would count as seen until they reach the old place.
            let may_be_beyond = lines.is_empty() && after > self.joined_at;
            let end = if may_be_beyond { telemetry.end().await? } else { after };
            Ok((lines, end))
        };
        let (lines, end) = match page.await {
            Ok(page) => page,
            Err(error) => {
                log_lost(&error, &self.workspace);
                tokio::time::sleep(RETRY_PAUSE).await;
                return false;
            }
        };
        self.kept_after = (lines.len() == PAGE).then(|| lines[PAGE - 1].sequence);
        for line in &lines {
            self.take(line);
        }
        if after > end {
            self.last = Some(end);
            self.ready.push_back(Step::Skipped(end));
        }
        true
    }

    /// Makes a page of the last lines ready: all that are kept.
    async fn advance_to_end(&mut self, telemetry: &Telemetry) {
        if !self.is_ending {
            (self.is_ending, self.queue, self.kept_after) = (true, None, self.last);
        }
        let page = async {
            if self.last.is_none() {
                self.join(telemetry).await;
                self.kept_after = self.last;
            }
            while let Some(after) = self.kept_after
                && !self.read_kept(telemetry, after).await
            {}
        };
        if tokio::time::timeout(LAST_LINES_MAX, page).await.is_err() {
            self.ready.push_back(Step::Unavailable);
            self.kept_after = None;
        }
        self.has_ended = self.kept_after.is_none();
    }

    fn take(&mut self, line: &TelemetryLine) {
        let is_new = self.last.is_none_or(|last| line.sequence > last);
        if is_new && self.task.is_none_or(|task| task == line.task) {
            self.last = Some(line.sequence);
            self.ready.push_back(Step::Line(line.sequence, frame_of(line)));
        }
    }
}

impl Shared {
    /// Joins the workspace's tail; makes it when there is none. Every line after the returned place comes.
    async fn join(
        self: &Arc<Self>,
        telemetry: &Telemetry,
        workspace: &Workspace,
    ) -> (u64, broadcast::Receiver<Arc<TelemetryLine>>) {
        let mut tails = self.tails.lock().await;
        if let Some(lines) = tails.get(workspace) {
            // In this order: a line is announced in `last` before it is sent.
            let receiver = lines.sender.subscribe();
            return (lines.last.load(Ordering::SeqCst), receiver);
        }
        let tail = open(telemetry, workspace, FROM_NOW_ON).await;
        let now = tail.position();
        let (sender, receiver) = broadcast::channel(self.lines_max);
        let lines = Lines { sender, last: Arc::new(now.into()) };
        tails.insert(workspace.clone(), lines.clone());
        tokio::spawn(follow(Arc::clone(self), telemetry.clone(), workspace.clone(), tail, lines));
        (now, receiver)
    }
}

async fn open(telemetry: &Telemetry, workspace: &Workspace, after: u64) -> TelemetryTail {
    loop {
        match telemetry.tail(workspace, None, after).await {
            Ok(tail) => return tail,
            Err(error) => {
                tracing::debug!(error = explain(&error), %workspace, "log lines cannot be followed, trying again");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}

/// Hands the lines of a workspace to all who watch, until nobody does.
async fn follow(
    shared: Arc<Shared>,
    telemetry: Telemetry,
    workspace: Workspace,
    mut tail: TelemetryTail,
    lines: Lines,
) {
    loop {
        let next = tokio::select! {
            () = shared.stopping.cancelled() => break,
            () = lines.sender.closed() => {
                // Nobody can join between the look and the removal: joining takes the same lock.
                let mut tails = shared.tails.lock().await;
                if lines.sender.receiver_count() == 0 {
                    tails.remove(&workspace);
                    return;
                }
                continue;
            }
            next = tail.next() => next,
        };
        match next {
            Ok(batch) => {
                let last = lines.last.load(Ordering::SeqCst);
                if batch.first().is_some_and(|line| line.sequence <= last) {
                    // The lines begin anew. Whoever watches joins again, and learns what of its place is left.
                    break;
                }
                for line in batch {
                    lines.last.store(line.sequence, Ordering::SeqCst);
                    // Nobody listening right now is no failure: the closing above sees to it.
                    let _ = lines.sender.send(Arc::new(line));
                }
            }
            Err(error) => {
                log_lost(&error, &workspace);
                tokio::time::sleep(RETRY_PAUSE).await;
                tail = open(&telemetry, &workspace, tail.position()).await;
            }
        }
    }
    shared.tails.lock().await.remove(&workspace);
}

fn log_lost(error: &TelemetryError, workspace: &Workspace) {
    tracing::debug!(error = explain(error), %workspace, "log lines cannot be read, trying again");
}

/// The line with its place and its run in front.
fn frame_of(line: &TelemetryLine) -> Frame {
    let mut fields = shown_line(&line.data).unwrap_or_default();
    let raw = |value: serde_json::Value| to_raw_value(&value).expect("plain values can always be written");
    fields.insert("event".to_owned(), raw(LOG.into()));
    fields.insert("seq".to_owned(), raw(line.sequence.into()));
    fields.insert("task_id".to_owned(), raw(line.task.to_string().into()));
    fields.insert("run_id".to_owned(), raw(line.run.to_string().into()));
    if !fields.contains_key("ts") {
        fields.insert("ts".to_owned(), raw(json!(line.recorded_at)));
    }
    Frame::new(None, LOG, &fields)
}
