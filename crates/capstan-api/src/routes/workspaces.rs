//! `/v1/workspaces` and one workspace.

use std::sync::Arc;

use axum::extract::{Path, Request, State};

use crate::App;
use crate::body;
use crate::call::CallContext;
use crate::commands;
use crate::parameters::Parameters;
use crate::problem::Problem;
use crate::receipt::Reply;
use crate::shown::Object;

pub(super) async fn create(
    State(app): State<Arc<App>>,
    parameters: Parameters,
    call: CallContext,
    request: Request,
) -> Result<Reply, Problem> {
    parameters.finish()?;
    let (head, body) = request.into_parts();
    let json = body::read(&head.headers, body, app.config.command_bytes_max).await?;
    commands::create_workspace(&app, body::parse(&json)?, &call).await
}

pub(super) async fn one(
    State(app): State<Arc<App>>,
    Path(workspace): Path<String>,
    parameters: Parameters,
) -> Result<Object, Problem> {
    parameters.finish()?;
    let workspace = app.workspace(&workspace).await?;
    app.reads.workspace(&workspace).await?.ok_or_else(|| Problem::not_found("workspace"))
}
