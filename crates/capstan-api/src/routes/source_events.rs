//! Things that happen outside.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::routing::post;
use capstan_contract::command::PublishSourceEvent;

use crate::App;
use crate::body;
use crate::call::CallContext;
use crate::commands::Execute;
use crate::parameters::Parameters;
use crate::problem::Problem;
use crate::receipt::Reply;

pub(super) fn commands() -> Router<Arc<App>> {
    Router::new().route("/v1/workspaces/{workspace}/source-events", post(publish))
}

async fn publish(
    State(app): State<Arc<App>>,
    Path(workspace): Path<String>,
    parameters: Parameters,
    call: CallContext,
    request: Request,
) -> Result<Reply, Problem> {
    parameters.finish()?;
    let (head, body) = request.into_parts();
    let json = body::read(&head.headers, body, app.config.command_bytes_max).await?;
    let workspace = app.workspace(&workspace).await?;
    body::parse::<PublishSourceEvent>(&json)?.execute(&app, &workspace, &call).await
}
