//! `/v1/workspaces` and one workspace.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, patch, post};
use capstan_contract::command::UpdateWorkspace;

use crate::App;
use crate::asked::Asked;
use crate::commands::{self, Execute};
use crate::parameters::Parameters;
use crate::problem::Problem;
use crate::receipt::Reply;
use crate::shown::Object;

pub(super) fn reads() -> Router<Arc<App>> {
    Router::new().route("/v1/workspaces/{workspace}", get(one))
}

pub(super) fn commands() -> Router<Arc<App>> {
    Router::new().route("/v1/workspaces", post(create)).route("/v1/workspaces/{workspace}", patch(update))
}

async fn create(State(app): State<Arc<App>>, mut asked: Asked) -> Result<Reply, Problem> {
    commands::create_workspace(&app, asked.body()?, &asked.call).await
}

async fn update(
    State(app): State<Arc<App>>,
    Path(workspace): Path<String>,
    mut asked: Asked,
) -> Result<Reply, Problem> {
    let workspace = app.workspace(&workspace).await?;
    asked.body::<UpdateWorkspace>()?.execute(&app, &workspace, &asked.call).await
}

async fn one(
    State(app): State<Arc<App>>,
    Path(workspace): Path<String>,
    parameters: Parameters,
) -> Result<Object, Problem> {
    parameters.finish()?;
    let workspace = app.workspace(&workspace).await?;
    app.reads.workspace(&workspace).await?.ok_or_else(|| Problem::not_found("workspace"))
}
