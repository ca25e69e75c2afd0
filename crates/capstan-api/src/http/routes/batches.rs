//! Many commands at once, and what changed since the last look.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::{Extension, Json};
use serde_json::Value;

use crate::App;
use crate::auth::caller::Caller;
use crate::auth::place::Place;
use crate::call::CallContext;
use crate::http::body;
use crate::http::parameters::{Parameters, path_id};
use crate::operation::Operation;
use crate::problem::Problem;
use crate::use_case::batch::{self, BODIES};
use crate::use_case::resolve;
use crate::use_case::task_batch::{self, Cursors, TaskEventBatch, WorkspaceLiveBatch};

/// What a log cursor is.
const CURSOR: &str = "a cursor as answered";

pub(super) async fn commands(
    State(app): State<Arc<App>>,
    Path(workspace): Path<String>,
    Extension(operations): Extension<&'static [Operation]>,
    parameters: Parameters,
    caller: Caller,
    call: CallContext,
    request: Request,
) -> Result<Json<Vec<Value>>, Problem> {
    parameters.finish()?;
    let (head, body) = request.into_parts();
    let json = body::read(&head.headers, body, app.config.command_bytes_max * BODIES).await?;
    resolve::workspace(&app, &workspace).await?;
    let answers = batch::execute(&app, &workspace, &json, &call, |name| {
        let operation = operations.iter().find(|operation| operation.bus == Some(name));
        let operation = operation.ok_or_else(|| Problem::not_found("command"))?;
        app.rates.take(&caller)?;
        let is_of_workspace = operation.names_workspace();
        let place = if is_of_workspace { Place::Workspace(workspace.clone()) } else { Place::Anywhere };
        caller.must_be_allowed(operation.scope, &place)
    });
    Ok(Json(answers.await?))
}

pub(super) async fn of_task(
    State(app): State<Arc<App>>,
    Path((workspace, task)): Path<(String, String)>,
    mut parameters: Parameters,
) -> Result<Json<TaskEventBatch>, Problem> {
    let cursors = Cursors {
        log: parameters.value("log_cursor", CURSOR).unwrap_or(0),
        run_event: parameters.value("run_event_cursor", CURSOR).unwrap_or(0),
        run_id: parameters.value("cursor_run_id", "the id of a run"),
    };
    parameters.finish()?;
    let (workspace, task) = (resolve::workspace(&app, &workspace).await?, path_id(&task, "task")?);
    Ok(Json(task_batch::of_task(&app, &workspace, task, cursors).await?))
}

pub(super) async fn of_workspace(
    State(app): State<Arc<App>>,
    Path(workspace): Path<String>,
    parameters: Parameters,
) -> Result<Json<WorkspaceLiveBatch>, Problem> {
    parameters.finish()?;
    let workspace = resolve::workspace(&app, &workspace).await?;
    Ok(Json(task_batch::of_workspace(&app, &workspace).await?))
}
