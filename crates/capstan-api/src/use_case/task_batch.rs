//! The poll form of the live streams: the changes since the caller's cursors.
//!
//! Cursors are places in the log of a task's lines. They never start again, so a new run needs no new beginning: what
//! was handed out once does not come again.

use capstan_contract::query::{GetTaskEventBatch, GetWorkspaceLiveBatch, LIMIT_MAX, Page, Wait};
use capstan_domain::id::{RunId, TaskId};
use capstan_envelope::{Position, Workspace};
use capstan_projections::{OpenBlocker, OutputFilter, OutputRow, RunObject, TaskFilter, TaskObject};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::answer::Answer;
use super::interaction::{self, Interaction};
use super::logs::{self, LogEntry};
use crate::App;
use crate::answered::Answered;
use crate::problem::Problem;

/// A task, its newest run, its outputs, and its log lines and run events after the cursors.
#[serde_with::skip_serializing_none]
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TaskEventBatch {
    task_id: TaskId,
    run_id: Option<RunId>,
    #[schemars(with = "TaskObject")]
    task: Box<RawValue>,
    #[schemars(with = "Option<RunObject>")]
    run: Option<Box<RawValue>>,
    interaction: Option<Interaction>,
    /// The open question, or null.
    #[serialize_always]
    #[schemars(with = "Option<OpenBlocker>")]
    blocker: Option<Box<RawValue>>,
    /// Lines after the cursor, of all runs of the task.
    logs: Vec<LogEntry>,
    /// Events of the run after the cursor.
    run_events: Vec<LogEntry>,
    /// Outputs of the task.
    #[schemars(with = "Vec<OutputRow>")]
    outputs: Vec<Box<RawValue>>,
    next_log_cursor: u64,
    next_run_event_cursor: u64,
    position: Position,
}

/// The tasks and outputs of a workspace at one glance.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct WorkspaceLiveBatch {
    /// The newest tasks, archived ones included.
    #[schemars(with = "Vec<TaskObject>")]
    tasks: Vec<Box<RawValue>>,
    /// The newest outputs that are neither archived nor hidden from the feed.
    #[schemars(with = "Vec<OutputRow>")]
    outputs: Vec<Box<RawValue>>,
    position: Position,
}

/// Newest outputs of a workspace in a batch.
const OUTPUTS: u32 = 60;

/// The fields of a task's row that a batch needs.
#[derive(Deserialize)]
struct TaskHead {
    target_run_id: Option<RunId>,
    current_blocker: Option<Box<RawValue>>,
}

/// The task as it stands, and its lines since the cursors.
impl Answer for GetTaskEventBatch {
    async fn answer(self, app: &App, workspace: &Workspace, _: Wait) -> Result<Answered, Problem> {
        let Self { task_id, log_cursor, run_event_cursor, cursor_run_id } = self;
        let (log_cursor, run_event_cursor) =
            (log_cursor.unwrap_or_default(), run_event_cursor.unwrap_or_default());
        let task = app.reads.one(workspace, &task_id).await?.ok_or_else(|| Problem::not_found("task"))?;
        let TaskHead { target_run_id: run_id, current_blocker: blocker } =
            serde_json::from_str(task.json.get()).map_err(Problem::internal)?;
        let lines = logs::of_task(app, workspace, task_id, log_cursor, LIMIT_MAX).await?;
        let (next_log_cursor, logs) = (next(lines.next_cursor.as_deref(), log_cursor), lines.items);
        let produced = OutputFilter { task_id: Some(task_id), ..OutputFilter::default() };
        let outputs = app.reads.list(workspace, &produced, &newest(LIMIT_MAX)).await?.items;
        let (mut run, mut interaction, mut run_events) = (None, None, Vec::new());
        let mut next_run_event_cursor = run_event_cursor;
        if let Some(run_id) = run_id {
            run = app.reads.one(workspace, &run_id).await?.map(|run| run.json);
            interaction = Some(interaction::of_run(app, workspace, run_id).await?);
            // A cursor of another run may stand behind events of this one when two runs spoke at the same time.
            let is_other = cursor_run_id.is_some_and(|other| other != run_id);
            let after = if is_other { 0 } else { run_event_cursor };
            let events = logs::events_of_run(app, workspace, run_id, after, LIMIT_MAX).await?;
            next_run_event_cursor = next(events.next_cursor.as_deref(), after);
            run_events = events.items;
        }
        let position = task.position;
        Ok(Answered::json(&TaskEventBatch {
            task_id,
            run_id,
            task: task.json,
            run,
            interaction,
            blocker,
            logs: logs.into_iter().filter(|line| !line.is_run_event()).collect(),
            run_events,
            outputs,
            next_log_cursor,
            next_run_event_cursor,
            position,
        })
        .at(position))
    }
}

fn next(cursor: Option<&str>, before: u64) -> u64 {
    cursor.and_then(|cursor| cursor.parse().ok()).unwrap_or(before)
}

fn newest(limit: u32) -> Page {
    Page { limit: Some(limit), ..Page::default() }
}

/// The newest tasks and outputs.
impl Answer for GetWorkspaceLiveBatch {
    async fn answer(self, app: &App, workspace: &Workspace, _: Wait) -> Result<Answered, Problem> {
        let tasks = app.reads.list(workspace, &TaskFilter::default(), &newest(LIMIT_MAX)).await?;
        let shown = OutputFilter { archived: Some(false), hidden: Some(false), ..OutputFilter::default() };
        let outputs = app.reads.list(workspace, &shown, &newest(OUTPUTS)).await?.items;
        let position = tasks.position;
        Ok(Answered::json(&WorkspaceLiveBatch { tasks: tasks.items, outputs, position }).at(position))
    }
}
