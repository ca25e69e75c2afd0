//! Reports the agent's output in order: lines in batches, messages as the calls they represent.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use capstan_client::{
    AppendLogs, AppendOutputRows, AskedItem, FinalizeOutput, Join, LogLine, LogStream, OutputId, SourceWatch,
    SubtaskSpec, ToolDecision, WakePlan,
};
use chrono::Utc;
use serde_json::{Map, Value};
use tokio::sync::{Mutex, MutexGuard, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::message::{FinalizeLine, ItemLine, Message, Refusal, RowsLine, ToolCall};
use super::process::{AgentProcess, Chunk, Written};
use super::stdin::Voice;
use crate::{ReportError, Reporter};

/// Longest delay of a line before its batch is sent.
const BATCH_WAIT: Duration = Duration::from_millis(100);
/// Size in bytes from which a batch is sent at once.
const BATCH_BYTES: usize = 64 * 1024;
/// Maximum number of lines of a batch.
const BATCH_LINES: usize = 500;
/// Lines of standard error kept for the error text, and their total size.
const LAST_ERRORS: (usize, usize) = (10, 4 * 1024);

/// The agent's messages that belong into the final report.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) wake: Option<WakePlan>,
    pub(crate) subtasks: Vec<SubtaskSpec>,
    /// The join mode of the subtasks.
    pub(crate) join: Option<Join>,
    pub(crate) watches: Vec<SourceWatch>,
    pub(crate) result: Option<Value>,
    /// The first message that should have decided what follows, and could not be read.
    pub(crate) refused: Option<String>,
    pub(crate) last_errors: Vec<String>,
    /// True when it waits for an answer.
    pub(crate) asked: bool,
}

type Asking = watch::Sender<Option<Instant>>;

/// The state of the conversation with an agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Turn {
    /// The agent has one turn, and ends with it.
    #[default]
    Only,
    /// The agent works.
    Running,
    /// The agent's turn ended at this time.
    Over(Instant),
}

/// The state before an input was delivered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waited {
    asked: bool,
    turn: Turn,
}

/// Formats a decision on a tool call for a kind of agent.
pub(crate) type DecisionLine = fn(&ToolCall, &ToolDecision) -> Vec<u8>;

/// The task that reports the output.
pub(crate) struct Relay {
    asking: Arc<Asking>,
    turns: Arc<watch::Sender<Turn>>,
    floor: Arc<Mutex<()>>,
    task: JoinHandle<Said>,
}

impl Relay {
    /// Starts to report the output of this process.
    pub(crate) fn start(reporter: Reporter, process: &mut AgentProcess, decision_line: DecisionLine) -> Self {
        let asking = Arc::new(watch::Sender::new(None));
        let turns = Arc::new(watch::Sender::new(Turn::default()));
        let floor = Arc::<Mutex<()>>::default();
        let written = process.take_written();
        let work = Work {
            reporter,
            voice: process.voice(),
            decision_line,
            floor: Arc::clone(&floor),
            asking: Arc::clone(&asking),
            turns: Arc::clone(&turns),
            batch: Batch::default(),
            outputs: HashMap::new(),
            said: Said::default(),
            last_errors: VecDeque::new(),
            deaf: false,
        };
        Self { asking, turns, floor, task: tokio::spawn(work.run(written)) }
    }

    /// Held while an input is delivered, so that the agent receives a decision on a call before the result of that call.
    pub(super) async fn floor(&self) -> MutexGuard<'_, ()> {
        self.floor.lock().await
    }

    /// The time since which the agent has been waiting for an answer.
    pub(super) fn asking(&self) -> watch::Receiver<Option<Instant>> {
        self.asking.subscribe()
    }

    /// The state of the conversation.
    pub(super) fn turns(&self) -> watch::Receiver<Turn> {
        self.turns.subscribe()
    }

    /// Marks the start of a turn by an input; returns the state before. Call it before the input is written: the agent may
    /// ask again at once.
    pub(super) fn told(&self) -> Waited {
        let is_over = |turn: &mut Turn| {
            let is_over = matches!(turn, Turn::Over(_));
            if is_over {
                *turn = Turn::Running;
            }
            is_over
        };
        let turn = *self.turns.borrow();
        self.turns.send_if_modified(is_over);
        Waited { asked: self.asking.send_replace(None).is_some(), turn }
    }

    /// Restores the state after a failed delivery.
    pub(super) fn not_told(&self, waited: Waited) {
        if waited.asked {
            self.asking.send_replace(Some(Instant::now()));
        }
        self.turns.send_replace(waited.turn);
    }

    /// Waits until all output was reported.
    pub(crate) async fn finish(self) -> Said {
        let mut said = self.task.await.unwrap_or_default();
        said.asked = self.asking.borrow().is_some();
        said
    }

    pub(super) fn abort(&self) {
        self.task.abort();
    }
}

struct Work {
    reporter: Reporter,
    voice: Voice,
    decision_line: DecisionLine,
    floor: Arc<Mutex<()>>,
    asking: Arc<Asking>,
    turns: Arc<watch::Sender<Turn>>,
    batch: Batch,
    /// Outputs by the name the agent gave them.
    outputs: HashMap<String, OutputId>,
    said: Said,
    last_errors: VecDeque<String>,
    /// True once the server takes no more lines; the agent's pipes are emptied all the same.
    deaf: bool,
}

impl Work {
    async fn run(mut self, mut written: mpsc::Receiver<Written>) -> Said {
        loop {
            let due = self.batch.due();
            let next = tokio::select! {
                biased;
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    self.flush().await;
                    continue;
                }
                next = written.recv() => next,
            };
            match next {
                Some(Written::Text { stream, at, text, chunk }) => {
                    if stream == LogStream::Stderr {
                        self.remember_error(&text);
                    }
                    let chunk = chunk.map(|Chunk { kind, metadata }| (kind, metadata));
                    let (chunk_type, metadata) = chunk.unzip();
                    self.batch.push(LogLine {
                        stream,
                        ts: Some(at),
                        chunk_type,
                        data: text,
                        metadata: metadata.unwrap_or_default(),
                    });
                }
                Some(Written::TurnBegun) => _ = self.turns.send_replace(Turn::Running),
                Some(Written::TurnOver) => _ = self.turns.send_replace(Turn::Over(Instant::now())),
                Some(Written::Refused { refusal: Refusal { reason, is_of_plan }, text }) => {
                    if is_of_plan {
                        self.refuse_plan(reason);
                    } else {
                        self.complain(&reason);
                    }
                    self.batch.push(line(LogStream::Stdout, text));
                }
                Some(Written::Message(message)) => {
                    // What was said before the message is stored before the message.
                    self.flush().await;
                    self.follow(message).await;
                }
                None => break,
            }
            if self.batch.is_full() {
                self.flush().await;
            }
        }
        self.flush().await;
        self.said.last_errors = self.last_errors.into();
        self.said
    }

    async fn flush(&mut self) {
        let lines = AppendLogs { lines: self.batch.take() };
        if lines.lines.is_empty() || self.deaf {
            return;
        }
        match self.reporter.logs(&lines).await {
            Ok(()) => {}
            Err(ReportError::Lost) => self.deaf = true,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    lines = lines.lines.len(),
                    "log lines were refused"
                );
            }
        }
    }

    async fn follow(&mut self, message: Message) {
        let (kind, followed) = match message {
            Message::Interactive => return,
            Message::ToolCall(call) => return self.gate(&call).await,
            Message::Wake(wake) => {
                self.said.wake = Some(wake);
                return;
            }
            Message::Subtask { subtask, join } => {
                self.said.subtasks.push(*subtask);
                self.said.join = join.or(self.said.join.take());
                return;
            }
            Message::Watch(watch) => {
                self.said.watches.push(*watch);
                return;
            }
            Message::Result(result) => {
                self.said.result = Some(result);
                return;
            }
            Message::Output(output) => {
                let followed = match self.reporter.output(&output).await {
                    Ok(id) => {
                        self.outputs.extend(output.name.map(|name| (name, id)));
                        Ok(())
                    }
                    Err(error) => Err(error),
                };
                ("output", followed)
            }
            Message::Rows(RowsLine { output, rows }) => match self.output(&output) {
                Some(output_id) => ("rows", self.reporter.rows(&AppendOutputRows { output_id, rows }).await),
                None => {
                    return self.complain(&format!("message rows: unknown output {output:?}"));
                }
            },
            Message::Finalize(FinalizeLine { output, summary }) => match self.output(&output) {
                Some(output_id) => {
                    ("finalize", self.reporter.finalize(&FinalizeOutput { output_id, summary }).await)
                }
                None => {
                    return self.complain(&format!("message finalize: unknown output {output:?}"));
                }
            },
            Message::Usage(usage) => ("usage", self.reporter.usage(&usage).await),
            Message::Event(event) => ("event", self.reporter.event(event).await),
            Message::Blocker { mut question, items } => {
                let items: Result<Vec<_>, _> = items.into_iter().map(|item| self.item(item)).collect();
                let followed = match items {
                    Ok(items) => {
                        question.items = items;
                        self.reporter.blocker(&question).await
                    }
                    Err(item) => {
                        let output = item.output.unwrap_or_default();
                        self.refuse_plan(format!("message blocker: unknown output {output:?}"));
                        Ok(())
                    }
                };
                // The agent waits now even if its question was refused; then its end fails the run.
                self.asking.send_replace(Some(Instant::now()));
                ("blocker", followed)
            }
        };
        match followed {
            Ok(()) => {}
            Err(ReportError::Lost) => self.complain(&format!("message {kind}: the attempt is over")),
            Err(ReportError::Refused(error)) if kind == "blocker" => {
                self.refuse_plan(format!("message {kind}: {error}"));
            }
            Err(ReportError::Refused(error)) => self.complain(&format!("message {kind}: {error}")),
        }
    }

    /// Asks the gate and writes its decision to the agent. Fails closed: a failed request is a rejection, and without an open
    /// input no request is made.
    async fn gate(&mut self, call: &ToolCall) {
        if !self.voice.is_open() {
            return self
                .complain("message tool_call: standard input is closed, the decision cannot be delivered");
        }
        let floor = Arc::clone(&self.floor).lock_owned().await;
        let answer = match self.reporter.tool_call(&call.question).await {
            Ok(answer) => answer,
            Err(error) => {
                let reason = match error {
                    ReportError::Lost => "the attempt is over".to_owned(),
                    ReportError::Refused(error) => error.to_string(),
                };
                self.complain(&format!("message tool_call: {reason}"));
                ToolDecision { reason, ..ToolDecision::default() }
            }
        };
        if answer.decision.is_kept() {
            // Its result reaches the agent like an answer.
            self.asking.send_replace(Some(Instant::now()));
        }
        if self.voice.write((self.decision_line)(call, &answer)).await.is_err() {
            self.complain("message tool_call: the agent did not take the decision");
        }
        drop(floor);
    }

    fn output(&self, name: &str) -> Option<OutputId> {
        self.outputs.get(name).copied().or_else(|| name.parse().ok())
    }

    /// The output a question is about; the item itself when no output has its name.
    fn item(&self, item: ItemLine) -> Result<AskedItem, ItemLine> {
        let named = || item.output.as_deref().and_then(|name| self.output(name));
        match item.output_id.or_else(named) {
            Some(output_id) => Ok(AskedItem { output_id, item_key: item.item_key }),
            None => Err(item),
        }
    }

    /// Notes that a part of the agent's plan cannot be followed, which fails the run.
    fn refuse_plan(&mut self, reason: String) {
        self.complain(&reason);
        self.said.refused.get_or_insert(reason);
    }

    /// Writes the reason to the agent's log lines.
    fn complain(&mut self, reason: &str) {
        self.batch.push(line(LogStream::Stderr, format!("capstan: refused: {reason}")));
    }

    fn remember_error(&mut self, text: &str) {
        if text.trim().is_empty() {
            return;
        }
        self.last_errors.push_back(text.chars().take(LAST_ERRORS.1).collect());
        let size = |errors: &VecDeque<String>| errors.iter().map(String::len).sum::<usize>();
        while self.last_errors.len() > LAST_ERRORS.0
            || (self.last_errors.len() > 1 && size(&self.last_errors) > LAST_ERRORS.1)
        {
            self.last_errors.pop_front();
        }
    }
}

fn line(stream: LogStream, data: String) -> LogLine {
    LogLine { stream, ts: Some(Utc::now()), chunk_type: None, data, metadata: Map::new() }
}

/// Lines not yet sent.
#[derive(Debug, Default)]
struct Batch {
    lines: Vec<LogLine>,
    bytes: usize,
    since: Option<Instant>,
}

impl Batch {
    fn push(&mut self, line: LogLine) {
        self.bytes += line.data.len();
        self.lines.push(line);
        self.since.get_or_insert_with(Instant::now);
    }

    fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + BATCH_WAIT)
    }

    fn is_full(&self) -> bool {
        self.bytes >= BATCH_BYTES || self.lines.len() >= BATCH_LINES
    }

    fn take(&mut self) -> Vec<LogLine> {
        (self.bytes, self.since) = (0, None);
        std::mem::take(&mut self.lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_due_a_moment_after_its_first_line_and_full_by_size_or_number() {
        let mut batch = Batch::default();
        assert_eq!(batch.due(), None);
        let start = Instant::now();
        batch.push(line(LogStream::Stdout, "a".into()));
        let due = batch.due();
        assert!(due.is_some_and(|due| due >= start + BATCH_WAIT));
        batch.push(line(LogStream::Stdout, "b".into()));
        assert_eq!(batch.due(), due);
        assert!(!batch.is_full());
        batch.push(line(LogStream::Stdout, "x".repeat(BATCH_BYTES)));
        assert!(batch.is_full());
        assert_eq!((batch.take().len(), batch.due(), batch.is_full()), (3, None, false));
        for _ in 0..BATCH_LINES {
            batch.push(line(LogStream::Stdout, String::new()));
        }
        assert!(batch.is_full());
    }
}
