//! The output of running agents: one tail per workspace, as long as somebody watches.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use capstan_envelope::Workspace;
use capstan_envelope::redaction::hide_secrets;
use capstan_eventlog::{Telemetry, TelemetryError, TelemetryLine, TelemetryTail};
use futures_util::{Stream, stream};
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Mutex, broadcast};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::frame::json_bytes;
use crate::{Frame, GapReason, LOG};

/// Pause before the lines are asked for again after a failure.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// Failed looks at the kept lines after which a follower whose task is over is told that some are missing.
const LAST_LOOKS_MAX: u32 = 10;
/// Silence after which no more lines are expected of a task that is over, where the kept ones cannot be read.
const QUIET: Duration = Duration::from_millis(250);
/// Kept lines read at a time.
const PAGE: usize = 500;
/// Beyond the end, wherever it is: taken as the end.
const FROM_NOW_ON: u64 = u64::MAX;

type Lines = broadcast::Sender<Arc<TelemetryLine>>;

/// The shared tails.
#[derive(Clone)]
pub(crate) struct LogHub {
    shared: Arc<Shared>,
}

struct Shared {
    telemetry: Option<Telemetry>,
    stopping: CancellationToken,
    queue_max: usize,
    tails: Mutex<HashMap<Workspace, Lines>>,
}

impl LogHub {
    pub(crate) fn new(telemetry: Option<Telemetry>, stopping: CancellationToken, queue_max: usize) -> Self {
        Self { shared: Arc::new(Shared { telemetry, stopping, queue_max, tails: Mutex::default() }) }
    }

    pub(crate) fn follow(
        &self,
        workspace: Workspace,
        task: Option<Uuid>,
        after: Option<u64>,
        over: CancellationToken,
    ) -> impl Stream<Item = Frame> + Send + use<> {
        let watcher = Watcher {
            shared: Arc::clone(&self.shared),
            workspace,
            task,
            kept_after: after,
            looks_back: after.is_some(),
            last: after.unwrap_or(0),
            queue: None,
            ready: VecDeque::new(),
            over,
            is_ending: false,
            failed_looks: 0,
        };
        stream::unfold(watcher, |mut watcher| async move {
            let stopping = watcher.shared.stopping.clone();
            let frame = tokio::select! {
                biased;
                () = stopping.cancelled() => None,
                frame = watcher.next() => frame,
            };
            Some((frame?, watcher))
        })
    }
}

/// One follower of lines.
struct Watcher {
    shared: Arc<Shared>,
    workspace: Workspace,
    task: Option<Uuid>,
    /// Kept lines behind this one are still to be read.
    kept_after: Option<u64>,
    /// True when kept lines were requested.
    looks_back: bool,
    /// The last line handed out.
    last: u64,
    queue: Option<broadcast::Receiver<Arc<TelemetryLine>>>,
    ready: VecDeque<Frame>,
    /// Cancelled when nothing more is written: what is kept is handed out, then the lines end.
    over: CancellationToken,
    is_ending: bool,
    failed_looks: u32,
}

impl Watcher {
    async fn next(&mut self) -> Option<Frame> {
        let shared = Arc::clone(&self.shared);
        let telemetry = shared.telemetry.as_ref()?;
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Some(frame);
            }
            // First the live side, then what is kept: what comes in between is then in both, and in none never.
            if self.queue.is_none() && !self.is_ending {
                let over = self.over.clone();
                let joined = tokio::select! {
                    biased;
                    () = over.cancelled() => None,
                    joined = shared.join(telemetry, &self.workspace) => Some(joined),
                };
                self.is_ending = joined.is_none();
                self.queue = joined;
            }
            if let (Some(after), Some(task)) = (self.kept_after, self.task) {
                match telemetry.read(&self.workspace, task, after, PAGE).await {
                    Ok(lines) => {
                        self.failed_looks = 0;
                        self.kept_after = (lines.len() == PAGE).then(|| lines[PAGE - 1].sequence);
                        for line in &lines {
                            self.take(line);
                        }
                    }
                    Err(_) if self.is_ending && self.failed_looks == LAST_LOOKS_MAX => {
                        (self.kept_after, self.queue) = (None, None);
                        return Some(Frame::gap_in_lines(GapReason::LogLinesUnavailable, None));
                    }
                    Err(_) => {
                        self.failed_looks += u32::from(self.is_ending);
                        tokio::time::sleep(RETRY_PAUSE).await;
                    }
                }
                continue;
            }
            let queue = self.queue.as_mut()?;
            let received = if self.is_ending {
                let Ok(received) = tokio::time::timeout(QUIET, queue.recv()).await else { return None };
                received
            } else {
                let over = self.over.clone();
                tokio::select! {
                    biased;
                    () = over.cancelled() => {
                        self.end();
                        continue;
                    }
                    received = queue.recv() => received,
                }
            };
            match received {
                Ok(line) => self.take(&line),
                // A task's lines are kept, so those that were missed can be read; a workspace's are too many.
                Err(RecvError::Lagged(_)) if self.task.is_some() && self.last > 0 => {
                    self.kept_after = Some(self.last);
                }
                Err(RecvError::Lagged(lost)) => {
                    return Some(Frame::gap_in_lines(GapReason::LogLinesSkipped, Some(lost)));
                }
                Err(RecvError::Closed) => self.queue = None,
            }
        }
    }

    /// Turns to the last lines: those that are kept, or, of a task nothing was seen of yet, those on their way.
    fn end(&mut self) {
        self.is_ending = true;
        if self.looks_back || self.last > 0 {
            (self.kept_after, self.queue) = (Some(self.last), None);
        }
    }

    fn take(&mut self, line: &TelemetryLine) {
        if line.sequence > self.last && self.task.is_none_or(|task| task == line.task) {
            self.last = line.sequence;
            self.ready.push_back(frame_of(line));
        }
    }
}

impl Shared {
    /// Joins the workspace's tail; makes it when there is none. On return the tail stands at the end of the lines.
    async fn join(
        self: &Arc<Self>,
        telemetry: &Telemetry,
        workspace: &Workspace,
    ) -> broadcast::Receiver<Arc<TelemetryLine>> {
        let mut tails = self.tails.lock().await;
        if let Some(lines) = tails.get(workspace) {
            return lines.subscribe();
        }
        let tail = open(telemetry, workspace, FROM_NOW_ON).await;
        let (lines, receiver) = broadcast::channel(self.queue_max);
        tails.insert(workspace.clone(), lines.clone());
        tokio::spawn(follow(Arc::clone(self), telemetry.clone(), workspace.clone(), tail, lines));
        receiver
    }
}

async fn open(telemetry: &Telemetry, workspace: &Workspace, after: u64) -> TelemetryTail {
    loop {
        match telemetry.tail(workspace, None, after).await {
            Ok(tail) => return tail,
            Err(error) => {
                tracing::debug!(%error, %workspace, "log lines cannot be followed, trying again");
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
    let mut last = FROM_NOW_ON;
    loop {
        let next = tokio::select! {
            () = shared.stopping.cancelled() => break,
            () = lines.closed() => {
                // Nobody can join between the look and the removal: joining takes the same lock.
                let mut tails = shared.tails.lock().await;
                if lines.receiver_count() == 0 {
                    tails.remove(&workspace);
                    return;
                }
                continue;
            }
            next = tail.next() => next,
        };
        match next {
            Ok(batch) => {
                for line in batch {
                    last = line.sequence;
                    // Nobody listening right now is no failure: the closing above sees to it.
                    let _ = lines.send(Arc::new(line));
                }
            }
            Err(error) => {
                log_lost(&error, &workspace);
                tokio::time::sleep(RETRY_PAUSE).await;
                tail = open(&telemetry, &workspace, last).await;
            }
        }
    }
    shared.tails.lock().await.remove(&workspace);
}

fn log_lost(error: &TelemetryError, workspace: &Workspace) {
    tracing::debug!(%error, %workspace, "the tail of log lines broke, trying again");
}

/// The line with its place and its run in front.
fn frame_of(line: &TelemetryLine) -> Frame {
    let mut fields: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(&line.data).unwrap_or_default();
    hide_secrets(&mut fields);
    let raw = |value: serde_json::Value| to_raw_value(&value).expect("plain values can always be written");
    fields.insert("event".to_owned(), raw(LOG.into()));
    fields.insert("seq".to_owned(), raw(line.sequence.into()));
    fields.insert("task_id".to_owned(), raw(line.task.to_string().into()));
    fields.insert("run_id".to_owned(), raw(line.run.to_string().into()));
    if !fields.contains_key("ts") {
        fields.insert("ts".to_owned(), raw(json!(line.recorded_at)));
    }
    Frame { id: None, event: LOG.to_owned(), data: json_bytes(&fields) }
}
