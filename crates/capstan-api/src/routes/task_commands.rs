//! Commands on one task whose path names it and whose body may be left out.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::routing::{patch, post};
use capstan_contract::command::{ArchiveTask, CancelTask, RetryTask, UnarchiveTask, UpdateTask};
use capstan_domain::id::TaskId;

use crate::App;
use crate::body;
use crate::call::CallContext;
use crate::commands::Execute;
use crate::parameters::{Parameters, path_id};
use crate::problem::Problem;
use crate::receipt::Reply;

pub(super) fn commands() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/workspaces/{workspace}/tasks/{task}", patch(command::<UpdateTask>))
        .route("/v1/workspaces/{workspace}/tasks/{task}/cancel", post(command::<CancelTask>))
        .route("/v1/workspaces/{workspace}/tasks/{task}/retry", post(command::<RetryTask>))
        .route("/v1/workspaces/{workspace}/tasks/{task}/archive", post(command::<ArchiveTask>))
        .route("/v1/workspaces/{workspace}/tasks/{task}/unarchive", post(command::<UnarchiveTask>))
}

/// A body that names its task, which the path names too.
trait OfTask {
    fn task_id(&mut self) -> &mut Option<TaskId>;
}

macro_rules! of_task {
    ($($body:ident)*) => {$(
        impl OfTask for $body {
            fn task_id(&mut self) -> &mut Option<TaskId> {
                &mut self.task_id
            }
        }
    )*};
}

of_task! { UpdateTask CancelTask RetryTask ArchiveTask UnarchiveTask }

async fn command<B: Execute + OfTask>(
    State(app): State<Arc<App>>,
    Path((workspace, task)): Path<(String, String)>,
    parameters: Parameters,
    call: CallContext,
    request: Request,
) -> Result<Reply, Problem> {
    parameters.finish()?;
    let (head, body) = request.into_parts();
    let json = body::read(&head.headers, body, app.config.command_bytes_max).await?;
    let (workspace, task_id) = (app.workspace(&workspace).await?, path_id(&task, "task")?);
    let mut body: B = body::parse_optional(&json)?;
    *body.task_id() = body::of_path(body.task_id().take(), task_id, "/task_id")?;
    body.execute(&app, &workspace, &call).await
}
