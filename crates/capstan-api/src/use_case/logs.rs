//! The output of running agents: written by workers, read by anyone who may see the task.

use std::collections::BTreeMap;

use bytes::Bytes;
use capstan_contract::command::{LogLine, RunEvent};
use capstan_contract::query::{GetTaskLogs, LIMIT_MAX, ListRunEvents, Wait, page_size};
use capstan_domain::Faults;
use capstan_domain::id::{AttemptId, RunId, TaskId};
use capstan_domain::redaction::hide_secrets;
use capstan_domain::task::Task;
use capstan_envelope::Workspace;
use capstan_eventlog::TelemetryLine;
use capstan_live::shown_line;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

use super::answer::Answer;
use crate::App;
use crate::answered::{Answered, List};
use crate::problem::{Code, Problem};

/// Longest single line, in bytes: it must fit into one message of the bus.
pub(crate) const LINE_BYTES_MAX: usize = 512 << 10;

/// One line or run event as it is kept.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Kept<'a> {
    Log {
        attempt_id: &'a AttemptId,
        #[serde(flatten)]
        line: &'a LogLine,
    },
    RunEvent {
        attempt_id: &'a AttemptId,
        #[serde(flatten)]
        event: &'a RunEvent,
    },
}

/// Lines as they are kept.
pub(crate) fn kept_lines(
    attempt_id: &AttemptId,
    mut lines: Vec<LogLine>,
    at: DateTime<Utc>,
) -> Result<Vec<Bytes>, Problem> {
    for line in &mut lines {
        line.ts = line.ts.or(Some(at));
    }
    encode(lines.iter().map(|line| Kept::Log { attempt_id, line }))
}

/// Run events as they are kept.
pub(crate) fn kept_events(
    attempt_id: &AttemptId,
    mut events: Vec<RunEvent>,
    at: DateTime<Utc>,
) -> Result<Vec<Bytes>, Problem> {
    let mut faults = Faults::default();
    for (index, event) in events.iter_mut().enumerate() {
        event.ts = event.ts.or(Some(at));
        faults.required(&format!("/events/{index}/event_type"), &event.event_type);
    }
    Problem::refuse(faults)?;
    encode(events.iter().map(|event| Kept::RunEvent { attempt_id, event }))
}

fn encode<'a>(kept: impl Iterator<Item = Kept<'a>>) -> Result<Vec<Bytes>, Problem> {
    kept.enumerate()
        .map(|(index, one)| {
            let json = serde_json::to_vec(&one).map_err(Problem::internal)?;
            if json.len() > LINE_BYTES_MAX {
                let detail = format!("entry {index} exceeds {LINE_BYTES_MAX} bytes");
                return Err(Problem::new(Code::PayloadTooLarge, detail));
            }
            Ok(Bytes::from(json))
        })
        .collect()
}

/// A log line or a run event of an agent: its own fields and its place. Live streams show lines in the same form.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(with = "LogEntryFields")]
pub(crate) struct LogEntry(BTreeMap<String, Box<RawValue>>);

/// The fields every entry has; those of the line follow.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct LogEntryFields {
    /// Place among the lines of the task, from 1; 0 for the prompt of the task.
    seq: u64,
    /// The task.
    task_id: TaskId,
    /// The run; absent for the prompt of the task.
    #[schemars(skip_serializing_if = "Option::is_none")]
    run_id: Option<RunId>,
    /// Kind of the entry.
    #[schemars(skip_serializing_if = "Option::is_none")]
    kind: Option<LineKind>,
    #[schemars(flatten)]
    fields: BTreeMap<String, serde_json::Value>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
#[expect(dead_code, reason = "only its schema is used")]
enum LineKind {
    Log,
    RunEvent,
}

impl LogEntry {
    /// True for what an agent did, false for what it wrote.
    pub(crate) fn is_run_event(&self) -> bool {
        self.0.get("kind").is_some_and(|kind| kind.get() == "\"run-event\"")
    }

    fn new(line: &TelemetryLine) -> Result<Self, serde_json::Error> {
        let mut entry = Self::at(shown_line(&line.data)?, line.sequence, TaskId(line.task))?;
        entry.0.insert("run_id".to_owned(), to_raw_value(&line.run)?);
        Ok(entry)
    }

    /// The first line in the logs of every task: its message at acceptance.
    fn prompt(task: &Task) -> Result<Self, serde_json::Error> {
        let line = json!({
            "kind": "log",
            "stream": "user",
            "ts": task.accepted.accepted_at,
            "chunk_type": "task_prompt",
            "data": task.accepted.message,
        });
        // A message is text for the agent and is shown as it came, but for one that is nothing but a token.
        let mut fields = serde_json::from_str(&line.to_string())?;
        hide_secrets(&mut fields);
        Self::at(fields, 0, task.id())
    }

    fn at(
        mut fields: BTreeMap<String, Box<RawValue>>,
        sequence: u64,
        task_id: TaskId,
    ) -> Result<Self, serde_json::Error> {
        fields.insert("seq".to_owned(), to_raw_value(&sequence)?);
        fields.insert("task_id".to_owned(), to_raw_value(&task_id)?);
        Ok(Self(fields))
    }
}

/// Up to `limit` lines of a task after a cursor, oldest first. From the beginning, what the task was told comes
/// before them.
pub(crate) async fn of_task(
    app: &App,
    workspace: &Workspace,
    task_id: TaskId,
    after: u64,
    limit: u32,
) -> Result<List<LogEntry>, Problem> {
    let task = super::resolve::task(app, workspace, task_id).await?;
    let lines = app.telemetry.read(workspace, task_id.0, after, limit as usize).await?;
    if lines.is_empty() {
        must_be_within(app, workspace, task_id, after).await?;
    }
    // A reader continues from the last line whether or not there is more yet.
    let next_cursor = lines.last().map(|line| line.sequence.to_string());
    let prompt = (after == 0).then(|| LogEntry::prompt(&task));
    let entries = prompt.into_iter().chain(lines.iter().map(LogEntry::new));
    let items = entries.collect::<Result<_, _>>().map_err(Problem::internal)?;
    Ok(List { items, next_cursor, position: app.reads.position(), limit, total: None })
}

/// Lines looked through for the events of one page.
const LINES_SEARCHED_MAX: usize = 10_000;

/// Up to `limit` run events of a run after a cursor, oldest first. They lie among the log lines of their task; a
/// page may hold fewer than there are, and its cursor then leads on.
pub(crate) async fn events_of_run(
    app: &App,
    workspace: &Workspace,
    run_id: RunId,
    mut after: u64,
    limit: u32,
) -> Result<List<LogEntry>, Problem> {
    let task_id = super::resolve::task_of(app, workspace, &run_id, "run").await?;
    let mut items = Vec::new();
    let mut searched = 0;
    while items.len() < limit as usize && searched < LINES_SEARCHED_MAX {
        let lines = app.telemetry.read(workspace, task_id.0, after, LIMIT_MAX as usize).await?;
        let Some(last) = lines.last() else {
            must_be_within(app, workspace, task_id, after).await?;
            break;
        };
        searched += lines.len();
        after = last.sequence;
        for line in lines.iter().filter(|line| line.run == run_id.0 && is_event(&line.data)) {
            items.push(LogEntry::new(line).map_err(Problem::internal)?);
            if items.len() == limit as usize {
                after = line.sequence;
                break;
            }
        }
    }
    let next_cursor = (after > 0).then(|| after.to_string());
    Ok(List { items, next_cursor, position: app.reads.position(), limit, total: None })
}

/// Refuses a place beyond the last line of the task that is kept: a reader that waits there would miss all lines up to
/// it. The lines of all tasks are numbered together, so nothing else is told about the end of them.
async fn must_be_within(
    app: &App,
    workspace: &Workspace,
    task_id: TaskId,
    place: u64,
) -> Result<(), Problem> {
    if place == 0 {
        return Ok(());
    }
    let last = app.telemetry.last(workspace, task_id.0).await?;
    if place > last {
        let detail = match last {
            0 => format!("there is no log line {place}: the task has none"),
            last => format!("there is no log line {place}: the last one of the task is {last}"),
        };
        return Err(Problem::new(Code::PositionUnknown, detail));
    }
    Ok(())
}

fn is_event(data: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Kind<'a> {
        kind: &'a str,
    }
    serde_json::from_slice::<Kind<'_>>(data).is_ok_and(|line| line.kind == "run-event")
}

impl Answer for GetTaskLogs {
    async fn answer(self, app: &App, workspace: &Workspace, _: Wait) -> Result<Answered, Problem> {
        let (after, limit) = (self.cursor.unwrap_or_default(), page_size(self.limit));
        Ok(of_task(app, workspace, self.task_id, after, limit).await?.into())
    }
}

impl Answer for ListRunEvents {
    async fn answer(self, app: &App, workspace: &Workspace, _: Wait) -> Result<Answered, Problem> {
        let (after, limit) = (self.cursor.unwrap_or_default(), page_size(self.limit));
        Ok(events_of_run(app, workspace, self.run_id, after, limit).await?.into())
    }
}
