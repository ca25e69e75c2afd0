//! An agent command on a session that may have a task already: see "Acceptance and sessions" in docs/rules.md.
//!
//! The session and the task change in one append, so a repeat finds either both or nothing: the session's stream keeps
//! what the key meant the first time.

use capstan_dispatch::{CommandContext, DispatchError, Together, TogetherError, execute_together};
use capstan_domain::Requested;
use capstan_domain::id::{InputId, TaskId};
use capstan_domain::session::{self, Event, Last, Session};
use capstan_domain::task::command::{Accept, SubmitInput, SubmitTaskInput};
use capstan_domain::task::{self, Command, TaskDecider};
use capstan_envelope::{CommitId, StreamId, Workspace};
use chrono::{DateTime, Utc};

use super::input::{check, outcome, submitted};
use super::read::Reads;
use super::{quota, streams, wait};
use crate::App;
use crate::call::{CallContext, CommandKey};
use crate::problem::{Code, Problem};
use crate::receipt::{Receipt, Reply, Success};

/// Attempts to decide the command while the session or its task changes.
const ATTEMPTS_MAX: u32 = 8;

/// Executes the command on the session `name`: it becomes an input of the session's task, or creates a task as `accept` says.
pub(crate) async fn execute(
    app: &App,
    workspace: &Workspace,
    name: String,
    accept: Accept,
    key: Option<&CommandKey>,
    call: &CallContext,
    open_tasks_max: Option<u32>,
) -> Result<Reply, Problem> {
    let body = &accept.command;
    let id = capstan_domain::id::derived(&["session", &accept.agent.agent_id.to_string(), &name]);
    let stream = streams::session(workspace, id)?;
    let context = call.command(&stream, key, body);
    let derived = |key: &str| InputId(capstan_domain::id::derived(&["session-input", &id.to_string(), key]));
    let input_id = call.keyed_id(key, derived);
    let text = SubmitTaskInput::from_text(accept.task_id, body.message.clone());
    let queue_mode = body.queue_mode.clone().filter(|mode| !mode.trim().eq_ignore_ascii_case("reject"));
    let mut input = submitted(app, SubmitTaskInput { queue_mode, ..text }, input_id, call);
    for _ in 0..ATTEMPTS_MAX {
        let last = last(app, workspace, &stream).await?;
        let queues = body.queue_mode.as_deref().is_some_and(|mode| mode.trim().eq_ignore_ascii_case("queue"));
        if queues || body.hook_id.is_some() || last.as_ref().is_none_or(|last| last.is_archived) {
            quota::admit_task(app, workspace, accept.task_id, key, open_tasks_max).await?;
        }
        let command = session::Command {
            session_id: name.clone(),
            body: body.clone(),
            agent_id: accept.agent.agent_id,
            task_id: accept.task_id,
            input_id,
            last,
        };
        let command = Requested::new(command, call.received_at);
        let follow = |events: &[Event], _: &session::State| {
            follow(workspace, events, &accept, &input, call.received_at)
        };
        let first = (app.dispatch.sessions.as_ref(), &stream, &command);
        match execute_together(first, app.dispatch.tasks.as_ref(), follow, &context).await {
            Ok(Together { first, second }) => {
                if first.duplicate && first.events.is_empty() {
                    return archived(app, workspace, accept.task_id, (&context, call)).await;
                }
                return reply(app, workspace, (&context, call), &first, second.as_ref()).await;
            }
            Err(TogetherError::First(DispatchError::Rejected(session::Rejection::MovedOn(_)))) => {
                app.dispatch.sessions.refresh(&stream).await?;
            }
            Err(TogetherError::Second(DispatchError::Rejected(task::Rejection::Archived))) => {
                if let Some(last) = last {
                    app.dispatch.tasks.refresh(&streams::task(workspace, last.task_id)?).await?;
                }
            }
            Err(TogetherError::Second(DispatchError::Rejected(task::Rejection::Unchecked(_)))) => {
                if let Some(last) = last {
                    check(app, &streams::task(workspace, last.task_id)?, &mut input).await?;
                }
            }
            // The task's id is derived from the key: another command used it on another session, or on none.
            Err(TogetherError::Second(DispatchError::Rejected(task::Rejection::Exists))) => {
                return Err(DispatchError::<task::Rejection>::IdempotencyConflict.into());
            }
            Err(TogetherError::First(error)) => return Err(error.into()),
            Err(TogetherError::Second(error)) => return Err(error.into()),
        }
    }
    Err(Problem::new(Code::Contended, "too many commands change this session at once"))
}

/// The state of the session's task, as this process has it cached.
async fn last(app: &App, workspace: &Workspace, stream: &StreamId) -> Result<Option<Last>, Problem> {
    let Some(task_id) = app.dispatch.sessions.load(stream).await?.state.last else { return Ok(None) };
    let loaded = app.dispatch.tasks.load(&streams::task(workspace, task_id)?).await?;
    let task = loaded.state.as_deref();
    let is_open = task.is_none_or(|task| !task.state.is_terminal());
    let is_archived = task.is_some_and(task::Task::is_archived);
    Ok(Some(Last { task_id, is_open, is_archived }))
}

/// The command that follows from the session's events, and the stream of its task.
fn follow(
    workspace: &Workspace,
    events: &[Event],
    accept: &Accept,
    input: &SubmitInput,
    at: DateTime<Utc>,
) -> Option<(StreamId, Requested<Command>)> {
    match events.first()? {
        Event::Bound(bound) => {
            let stream = streams::task(workspace, bound.task_id).ok()?;
            let accept = Accept { runs_after: bound.runs_after, ..accept.clone() };
            Some((stream, Command::Accept(Box::new(accept)).at(at)))
        }
        Event::Continued(continued) => {
            let stream = streams::task(workspace, continued.task_id).ok()?;
            let mut input = input.clone();
            input.input.task_id = continued.task_id;
            Some((stream, Command::SubmitInput(input).at(at)))
        }
    }
}

/// The reply to a repeat of a command whose commit is archived, with what it did. The task that it created, which has the id of
/// its key, is carried forward and remembers it; an input of another task is forgotten.
async fn archived(
    app: &App,
    workspace: &Workspace,
    task_id: TaskId,
    (context, call): (&CommandContext, &CallContext),
) -> Result<Reply, Problem> {
    let stream = streams::task(workspace, task_id)?;
    let task = app.dispatch.tasks.load(&stream).await?;
    let applied = app.dispatch.tasks.applied(&stream, &task, CommitId(context.command_id)).await?;
    let applied = applied.ok_or(DispatchError::<task::Rejection>::KeyArchived)?;
    let receipt = Receipt {
        command_id: context.command_id,
        id: Some(stream.id().to_owned()),
        position: applied.position,
        version: applied.version,
        duplicate: true,
    };
    let shown = call.shows(app.reads.one(workspace, &task_id));
    let shown = wait::shown(app, applied.position, shown).await;
    Ok(Reply::from_receipt(Success::Done, receipt).showing_object("task", shown))
}

async fn reply(
    app: &App,
    workspace: &Workspace,
    (context, call): (&CommandContext, &CallContext),
    session: &capstan_dispatch::Decided<Session>,
    task: Option<&capstan_dispatch::Decided<TaskDecider>>,
) -> Result<Reply, Problem> {
    let (Some(task), Some(event)) = (task, session.events.first()) else {
        return Err(Problem::new(Code::Contended, "the task of the session is not readable yet"));
    };
    let task_id = match event {
        Event::Bound(bound) => bound.task_id,
        Event::Continued(continued) => continued.task_id,
    };
    let stream = streams::task(workspace, task_id)?;
    let mut reply = Reply::new(Success::Accepted, &stream, context, task);
    if session.duplicate {
        reply.receipt.duplicate = true;
        reply.success = Success::Done;
    }
    if let Event::Continued(continued) = event {
        reply.input = Some((continued.input_id, outcome(task, continued.input_id)));
        reply.continued = true;
    } else if !session.duplicate {
        if !call.is_minimal {
            reply.entity = Reads::new_task(&stream, context, task).map(|task| ("task", task));
        }
        return Ok(reply);
    }
    let shown = call.shows(app.reads.one(workspace, &task_id));
    let shown = wait::shown(app, task.position, shown).await;
    Ok(reply.showing_object("task", shown))
}
