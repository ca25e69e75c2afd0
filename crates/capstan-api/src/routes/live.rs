//! Live streams of a workspace, a task and a run: server-sent events, or a WebSocket on the same path.

use std::sync::Arc;

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use capstan_domain::id::{RunId, TaskId};
use capstan_domain::task::TaskState;
use capstan_envelope::Workspace;
use capstan_eventlog::Selection;
use capstan_live::{CAUGHT_UP, Cursor, END, Frame, GAP, LOG, Subscription};
use capstan_projections::{Page, TaskFilter};
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde_json::json;

use crate::App;
use crate::commands::task_stream;
use crate::frames::{self, Frames};
use crate::parameters::{Parameters, path_id};
use crate::problem::Problem;
use crate::shown::LIMIT_MAX;

/// Name of the frame that shows an object as it is at the beginning.
const SNAPSHOT: &str = "snapshot";

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/workspaces/{workspace}/stream", get(of_workspace))
        .route("/v1/workspaces/{workspace}/tasks/{task}/stream", get(of_task))
        .route("/v1/workspaces/{workspace}/runs/{run}/stream", get(of_run))
}

/// What the caller wants to see.
struct Wish {
    after: Option<Cursor>,
    with_snapshot: bool,
    /// Kinds of lines wanted: `log`, `run-event`.
    lines: Vec<&'static str>,
    log_after: Option<u64>,
    types: Vec<String>,
    keep_open: bool,
}

impl Wish {
    fn read(mut parameters: Parameters, headers: &HeaderMap) -> Result<Self, Problem> {
        let last_seen = headers.get("last-event-id").and_then(|value| value.to_str().ok());
        let last_seen = last_seen.map(str::trim).filter(|text| !text.is_empty());
        let is_resumed = last_seen.is_some();
        let in_query = parameters.value("after", "an event id as sent on a stream");
        let after = match last_seen.map(str::parse) {
            None => in_query,
            Some(Ok(cursor)) => Some(cursor),
            Some(Err(_)) => {
                parameters.fault("after", "Last-Event-ID must be an event id as sent on a stream");
                None
            }
        };
        let include = parameters.words("include");
        if include.iter().any(|word| !matches!(word.as_str(), "logs" | "events" | "outputs")) {
            parameters.fault("include", "may hold logs, events and outputs");
        }
        let includes = |name: &str| include.iter().any(|word| word == name);
        let wish = Self {
            after,
            // Who comes back has the objects already.
            with_snapshot: parameters.flag("snapshot").unwrap_or(false) && !is_resumed,
            lines: [("logs", "log"), ("events", "run-event")]
                .into_iter()
                .filter(|(word, _)| includes(word))
                .map(|(_, kind)| kind)
                .collect(),
            log_after: parameters.value("log_after", "a log cursor"),
            types: parameters.words("types"),
            keep_open: parameters.flag("follow").unwrap_or(false),
        };
        parameters.finish()?;
        Ok(wish)
    }

    fn takes(&self, event: &str) -> bool {
        let is_control = matches!(event, CAUGHT_UP | GAP | END | SNAPSHOT | LOG);
        is_control || self.types.is_empty() || self.types.iter().any(|name| name == event)
    }

    fn subscription(&self, selection: Selection, end_on_terminal: bool) -> Subscription {
        Subscription { selection, after: self.after, end_on_terminal }
    }
}

/// Sends the frames the way the caller asked for them.
async fn send(app: Arc<App>, request: Request, frames: Frames) -> Response {
    let ping_every = app.config.ping_every;
    let (mut head, _) = request.into_parts();
    match WebSocketUpgrade::from_request_parts(&mut head, &()).await {
        Ok(upgrade) => upgrade.on_upgrade(move |socket| frames::websocket(socket, frames, ping_every)),
        Err(_) => frames::sse(frames, ping_every),
    }
}

async fn of_workspace(
    State(app): State<Arc<App>>,
    Path(workspace): Path<String>,
    parameters: Parameters,
    request: Request,
) -> Result<Response, Problem> {
    let mut wish = Wish::read(parameters, request.headers())?;
    let workspace = app.workspace(&workspace).await?;
    let mut first = Vec::new();
    if wish.with_snapshot {
        let page = Page { limit: Some(LIMIT_MAX), cursor: None };
        let states = TaskState::ALL.into_iter().filter(|state| !state.is_terminal()).collect();
        let open = TaskFilter { states, ..TaskFilter::default() };
        let tasks = app.reads.tasks(&workspace, &open, &page).await?;
        wish.after = Some(Cursor::after(tasks.position));
        let is_whole = tasks.next_cursor.is_none();
        let data = json!({ "tasks": tasks.items, "position": tasks.position, "whole": is_whole });
        first.push(snapshot(wish.after, &data));
    }
    let selection = Selection::Workspace(workspace.clone());
    let events = app.live.follow(wish.subscription(selection, false));
    let frames = merged(&app, &workspace, None, wish, first, Box::pin(events));
    Ok(send(app, request, frames).await)
}

async fn of_task(
    State(app): State<Arc<App>>,
    Path((workspace, task)): Path<(String, String)>,
    parameters: Parameters,
    request: Request,
) -> Result<Response, Problem> {
    let mut wish = Wish::read(parameters, request.headers())?;
    let (workspace, task_id) = (app.workspace(&workspace).await?, path_id(&task, "task")?);
    app.must_have_task(&workspace, task_id).await?;
    let mut first = Vec::new();
    if wish.with_snapshot {
        let task = app.reads.task(&workspace, task_id).await?.ok_or_else(|| Problem::not_found("task"))?;
        wish.after = Some(Cursor::after(task.position));
        first.push(snapshot(wish.after, &json!({ "task": task.json, "position": task.position })));
    }
    let selection = Selection::Stream(task_stream(&workspace, task_id)?);
    let events = app.live.follow(wish.subscription(selection, !wish.keep_open));
    let frames = merged(&app, &workspace, Some(task_id), wish, first, Box::pin(events));
    Ok(send(app, request, frames).await)
}

/// The run's part of its task's events; ends with the run.
async fn of_run(
    State(app): State<Arc<App>>,
    Path((workspace, run)): Path<(String, String)>,
    parameters: Parameters,
    request: Request,
) -> Result<Response, Problem> {
    let mut wish = Wish::read(parameters, request.headers())?;
    let (workspace, run_id) = (app.workspace(&workspace).await?, path_id(&run, "run")?);
    let task_id = app.task_of_run(&workspace, run_id).await?;
    let mut first = Vec::new();
    if wish.with_snapshot {
        let run = app.reads.run(&workspace, run_id).await?.ok_or_else(|| Problem::not_found("run"))?;
        wish.after = Some(Cursor::after(run.position));
        first.push(snapshot(wish.after, &json!({ "run": run.json, "position": run.position })));
    }
    let selection = Selection::Stream(task_stream(&workspace, task_id)?);
    let events = app.live.follow(wish.subscription(selection, !wish.keep_open));
    let events = events.filter(move |frame| std::future::ready(concerns(frame, run_id)));
    let frames = merged(&app, &workspace, Some(task_id), wish, first, Box::pin(events));
    Ok(send(app, request, frames).await)
}

fn snapshot(cursor: Option<Cursor>, data: &serde_json::Value) -> Frame {
    Frame {
        id: cursor.map(|cursor| cursor.to_string()),
        event: SNAPSHOT.to_owned(),
        data: data.to_string().into(),
    }
}

/// First what is given, then events and log lines as they come; the end of the events is the end.
fn merged(
    app: &App,
    workspace: &Workspace,
    task_id: Option<TaskId>,
    wish: Wish,
    first: Vec<Frame>,
    events: Frames,
) -> Frames {
    let lines: Frames = if wish.lines.is_empty() {
        Box::pin(stream::empty())
    } else {
        Box::pin(app.live.follow_logs(workspace, task_id.map(|id| id.0), wish.log_after))
    };
    let events = events.map(Some).chain(stream::once(async { None }));
    let both = stream::select(events, lines.map(Some));
    let until_end =
        both.take_while(|frame| std::future::ready(frame.is_some())).filter_map(std::future::ready);
    let wished = until_end.filter(move |frame| {
        let takes = wish.takes(&frame.event) && (frame.event != LOG || wish.takes_line(&frame.data));
        std::future::ready(takes)
    });
    Box::pin(stream::iter(first).chain(wished))
}

#[derive(Deserialize)]
struct LineKind {
    kind: String,
}

impl Wish {
    /// Log lines and run events travel together; the caller may want one kind only.
    fn takes_line(&self, data: &Bytes) -> bool {
        let kind =
            serde_json::from_slice::<LineKind>(data).map_or_else(|_| "log".to_owned(), |line| line.kind);
        self.lines.iter().any(|wanted| *wanted == kind)
    }
}

#[derive(Deserialize)]
struct OfRun {
    data: RunOfEvent,
}

#[derive(Deserialize)]
struct RunOfEvent {
    run_id: Option<RunId>,
}

fn concerns(frame: &Frame, run_id: RunId) -> bool {
    matches!(frame.event.as_str(), CAUGHT_UP | GAP | END)
        || serde_json::from_slice::<OfRun>(&frame.data).is_ok_and(|event| event.data.run_id == Some(run_id))
}
