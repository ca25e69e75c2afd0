//! Live streams of a workspace, a task and a run: server-sent events, or a WebSocket on the same path.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use capstan_contract::query::{LIMIT_MAX, Page};
use capstan_contract::stream::{
    EventType, Include, StreamOptions, SubscribeRunEvents, SubscribeTaskLive, SubscribeWorkspaceLive,
};
use capstan_domain::id::{RunId, TaskId};
use capstan_domain::task::TaskState;
use capstan_envelope::{Position, Workspace};
use capstan_eventlog::Selection;
use capstan_live::{CAUGHT_UP, Cursor, END, Frame, GAP, LOG, Lines, Run, Subscription, Until};
use capstan_projections::{RunObject, TaskFilter, TaskObject};
use futures_util::{StreamExt, stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::App;
use crate::auth::caller::Caller;
use crate::http::fields::Fields;
use crate::http::frames::{self, Frames};
use crate::problem::Problem;
use crate::request;
use crate::use_case::{resolve, streams};

/// Name of the frame that shows an object as it is at the beginning.
const SNAPSHOT: &str = "snapshot";

/// A stream as its caller requests it.
struct StreamRequest {
    after: Option<Cursor>,
    with_snapshot: bool,
    /// The kinds of lines to send: `log`, `run-event`.
    lines: Vec<&'static str>,
    log_after: Option<u64>,
    /// True when the caller may have missed lines before now.
    is_resumed: bool,
    types: Vec<EventType>,
    keep_open: bool,
}

impl StreamRequest {
    /// Reads what the stream is about, and the fields beside it.
    fn read<Q: capstan_contract::request::Request<Beside = StreamOptions>>(
        fields: &Fields,
    ) -> Result<(Q, Self), Problem> {
        let (query, options) = request::read::<Q, StreamOptions>(fields.outer(), b"")?;
        Problem::refuse(options.faults()).map_err(|problem| request::located(problem, fields.outer()))?;
        let is_resumed = options.last_event_id.is_some();
        let place = options.last_event_id.or(options.after);
        let after = place.map(|place| place.cursor);
        // Who asks for the events from the first one on wants the lines from the first one on.
        let is_from_start = after == Some(Cursor::after(Position::START));
        let request = Self {
            after,
            // Who comes back has the objects already.
            with_snapshot: options.snapshot && !is_resumed,
            lines: options.include.into_iter().map(Include::kind).collect(),
            // A browser reconnects to the address it began with: what has been seen since goes before it.
            log_after: place
                .and_then(|place| place.line)
                .or(options.log_after)
                .or(is_from_start.then_some(0)),
            is_resumed: after.is_some(),
            types: options.types,
            keep_open: options.follow,
        };
        Ok((query, request))
    }

    /// True when nothing is left out: no frame needs a look.
    fn takes_all(&self, of: Of) -> bool {
        self.types.is_empty() && self.lines.is_empty() && of.run_id().is_none()
    }

    fn takes(&self, frame: &Frame, of: Of) -> bool {
        match frame.event.as_str() {
            CAUGHT_UP | GAP | END => true,
            LOG => self.takes_line(&frame.data, of),
            name => {
                (self.types.is_empty() || self.types.iter().any(|EventType(kind)| kind == name))
                    && of.has(frame)
            }
        }
    }

    fn subscription(&self, selection: Selection, until: Until) -> Subscription {
        let until = if self.keep_open { Until::Left } else { until };
        Subscription { selection, after: self.after, until }
    }
}

/// Sends the frames the way the caller asked for them.
async fn send(app: Arc<App>, caller: Caller, request: Request, frames: Frames) -> Result<Response, Problem> {
    let ping_every = app.config.ping_every;
    // A stream ends with its token, without a frame that says so: the next request is refused with the reason.
    let frames: Frames =
        Box::pin(frames.take_until(Box::pin(async move { app.holders.until_refused(&caller).await })));
    frames::send(request, frames, ping_every).await
}

pub(super) async fn of_workspace(
    State(app): State<Arc<App>>,
    caller: Caller,
    fields: Fields,
    request: Request,
) -> Result<Response, Problem> {
    let workspace = resolve::workspace(&app, fields.workspace().unwrap_or_default()).await?;
    let (SubscribeWorkspaceLive {}, mut requested) = StreamRequest::read(&fields)?;
    let mut first = Vec::new();
    if requested.with_snapshot {
        let page = Page { limit: Some(LIMIT_MAX), ..Page::default() };
        let states = TaskState::ALL.into_iter().filter(|state| !state.is_terminal()).collect();
        let open = TaskFilter { states, ..TaskFilter::default() };
        let tasks = app.reads.list(&workspace, &open, &page).await?;
        requested.after = Some(Cursor::after(tasks.position));
        let is_whole = tasks.next_cursor.is_none();
        let shown = Snapshot::at(tasks.position);
        first.push(Snapshot { tasks: Some(tasks.items), whole: Some(is_whole), ..shown }.frame());
    }
    let selection = Selection::Workspace(workspace.clone());
    let subscription = requested.subscription(selection, Until::Left);
    let frames = frames_of(&app, &workspace, Of::Workspace, requested, first, subscription);
    send(app, caller, request, frames).await
}

pub(super) async fn of_task(
    State(app): State<Arc<App>>,
    caller: Caller,
    fields: Fields,
    request: Request,
) -> Result<Response, Problem> {
    let workspace = resolve::workspace(&app, fields.workspace().unwrap_or_default()).await?;
    let (SubscribeTaskLive { task_id }, mut requested) = StreamRequest::read(&fields)?;
    resolve::existing_task(&app, &workspace, task_id).await?;
    let mut first = Vec::new();
    if requested.with_snapshot {
        let task = app.reads.one(&workspace, &task_id).await?.ok_or_else(|| Problem::not_found("task"))?;
        requested.after = Some(Cursor::after(task.position));
        first.push(Snapshot { task: Some(task.json), ..Snapshot::at(task.position) }.frame());
    }
    let selection = Selection::Stream(streams::task(&workspace, task_id)?);
    let subscription = requested.subscription(selection, Until::TaskOver);
    let frames = frames_of(&app, &workspace, Of::Task(task_id), requested, first, subscription);
    send(app, caller, request, frames).await
}

/// The run's part of its task's events; ends with the run.
pub(super) async fn of_run(
    State(app): State<Arc<App>>,
    caller: Caller,
    fields: Fields,
    request: Request,
) -> Result<Response, Problem> {
    let workspace = resolve::workspace(&app, fields.workspace().unwrap_or_default()).await?;
    let (SubscribeRunEvents { run_id }, mut requested) = StreamRequest::read(&fields)?;
    let task_id = resolve::task_of(&app, &workspace, &run_id, "run").await?;
    let mut first = Vec::new();
    if requested.with_snapshot {
        let run = app.reads.one(&workspace, &run_id).await?.ok_or_else(|| Problem::not_found("run"))?;
        requested.after = Some(Cursor::after(run.position));
        first.push(Snapshot { run: Some(run.json), ..Snapshot::at(run.position) }.frame());
    }
    let selection = Selection::Stream(streams::task(&workspace, task_id)?);
    let subscription = requested.subscription(selection, Until::RunEnded(run_id.0));
    let frames = frames_of(&app, &workspace, Of::Run(task_id, run_id), requested, first, subscription);
    send(app, caller, request, frames).await
}

/// The data of the frame that shows the objects at the start of a stream.
#[serde_with::skip_serializing_none]
#[derive(Serialize, JsonSchema)]
pub(super) struct Snapshot {
    event: &'static str,
    /// Position of the objects; the events that follow are later.
    position: Position,
    /// The open tasks of a workspace, newest first, at most 500.
    #[schemars(with = "Option<Vec<TaskObject>>")]
    tasks: Option<Vec<Box<RawValue>>>,
    /// False when more tasks are open than shown.
    whole: Option<bool>,
    /// The task of the stream.
    #[schemars(with = "Option<TaskObject>")]
    task: Option<Box<RawValue>>,
    /// The run of the stream.
    #[schemars(with = "Option<RunObject>")]
    run: Option<Box<RawValue>>,
}

impl Snapshot {
    /// The snapshot of these objects, to be completed.
    fn at(position: Position) -> Self {
        Self { event: SNAPSHOT, position, tasks: None, whole: None, task: None, run: None }
    }

    fn frame(&self) -> Frame {
        Frame::new(Some(Cursor::after(self.position).into()), SNAPSHOT, self)
    }
}

/// The subject of a stream.
#[derive(Clone, Copy)]
enum Of {
    Workspace,
    Task(TaskId),
    Run(TaskId, RunId),
}

impl Of {
    fn task_id(self) -> Option<TaskId> {
        match self {
            Self::Workspace => None,
            Self::Task(task_id) | Self::Run(task_id, _) => Some(task_id),
        }
    }

    fn run_id(self) -> Option<RunId> {
        match self {
            Self::Workspace | Self::Task(_) => None,
            Self::Run(_, run_id) => Some(run_id),
        }
    }

    /// True when this event belongs to the stream: the runs of a task share its events.
    fn has(self, event: &Frame) -> bool {
        self.run_id().is_none_or(|run_id| {
            serde_json::from_slice::<OfRun>(&event.data).is_ok_and(|event| event.data.run_id == Some(run_id))
        })
    }
}

/// First what is given, then the requested events and log lines as they come.
fn frames_of(
    app: &App,
    workspace: &Workspace,
    of: Of,
    requested: StreamRequest,
    first: Vec<Frame>,
    subscription: Subscription,
) -> Frames {
    let frames: Frames = if requested.lines.is_empty() {
        Box::pin(app.live.follow(subscription))
    } else {
        let lines = Lines {
            workspace: workspace.clone(),
            task: of.task_id().map(|id| id.0),
            after: requested.log_after,
            is_resumed: requested.is_resumed,
        };
        Box::pin(app.live.follow_with_lines(subscription, lines))
    };
    let first = stream::iter(first).map(Run::from);
    if requested.takes_all(of) {
        return Box::pin(first.chain(frames));
    }
    let selected = frames.flat_map(move |run| stream::iter(run.select(|frame| requested.takes(frame, of))));
    Box::pin(first.chain(selected))
}

#[derive(Deserialize)]
struct LineHead {
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    run_id: Option<RunId>,
}

impl StreamRequest {
    /// Log lines and run events travel together; the caller may want only one of both.
    fn takes_line(&self, data: &Bytes, of: Of) -> bool {
        let head = serde_json::from_slice(data).unwrap_or(LineHead { kind: None, run_id: None });
        let kind = head.kind.as_deref().unwrap_or("log");
        of.run_id().is_none_or(|run_id| head.run_id == Some(run_id)) && self.lines.contains(&kind)
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

#[cfg(test)]
mod tests {
    use capstan_contract::stream::{StreamOptions, SubscribeWorkspaceLive};

    use crate::request::{self, Outer, Source};

    /// The places of the faults of these parameters and this header `Last-Event-ID`.
    fn refused(parameters: &[(&'static str, &'static str)], last: Option<&'static str>) -> Vec<String> {
        let outer =
            |(name, text, source): (&'static str, &'static str, Source)| Outer::new(name, text, source);
        let last = last.map(|text| ("last_event_id", text, Source::Header("Last-Event-ID")));
        let parameters = parameters.iter().map(|(name, text)| (*name, *text, Source::Query));
        let fields: Vec<_> = parameters.chain(last).map(outer).collect();
        let read = request::read::<SubscribeWorkspaceLive, StreamOptions>(&fields, b"");
        let faults = match read {
            Ok((_, options)) => options.faults().into_result().err().unwrap_or_default(),
            Err(problem) => problem.errors.into(),
        };
        faults.into_iter().map(|fault| fault.pointer).collect()
    }

    #[test]
    fn options_that_exclude_each_other_are_refused_together() {
        assert_eq!(refused(&[("snapshot", "1"), ("after", "0")], None), ["/snapshot"]);
        assert_eq!(refused(&[("log_after", "7")], None), ["/log_after"]);
        let with_lines = [("log_after", "7"), ("include", "logs")];
        assert_eq!(refused(&[with_lines[0], with_lines[1], ("after", "0~3")], None), ["/log_after"]);
        assert_eq!(refused(&with_lines, Some("0-7-9f3ac21b~9")), [""; 0]);
        assert_eq!(refused(&[("snapshot", "1"), ("after", "0"), ("log_after", "7")], None).len(), 2);
        assert_eq!(refused(&[("log_after", "7"), ("include", "events")], None), [""; 0]);
    }

    #[test]
    fn a_name_of_no_event_is_refused() {
        assert_eq!(refused(&[("types", "attempt-leased,agent-created")], None), [""; 0]);
        assert_eq!(refused(&[("types", "attempt-leased,task-exploded")], None), ["?types/1"]);
        assert_eq!(refused(&[("include", "outputs")], None), ["?include/0"]);
    }

    #[test]
    fn a_reconnecting_browser_may_repeat_its_address_but_not_go_back() {
        let (first, second) = ("0-7-9f3ac21b.0", "0-7-9f3ac21b");
        assert_eq!(refused(&[("after", "0")], Some(second)), [""; 0]);
        assert_eq!(refused(&[("after", first)], Some(second)), [""; 0]);
        assert_eq!(refused(&[("after", second)], Some(second)), [""; 0]);
        assert_eq!(refused(&[("after", second)], Some(first)), ["/last_event_id"]);
        assert_eq!(refused(&[("after", second)], Some("0")), ["/last_event_id"]);
        assert_eq!(refused(&[("snapshot", "1")], Some(second)), [""; 0]);
    }
}
