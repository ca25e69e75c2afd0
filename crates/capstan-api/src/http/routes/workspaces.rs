//! `/v1/workspaces` and one workspace.

use std::sync::Arc;

use axum::extract::{Path, State};

use crate::App;
use crate::http::command_request::Asked;
use crate::http::parameters::Parameters;
use crate::http::responses::Object;
use crate::problem::Problem;
use crate::receipt::Reply;
use crate::use_case::commands::{self};

pub(super) async fn create(State(app): State<Arc<App>>, mut asked: Asked) -> Result<Reply, Problem> {
    commands::create_workspace(&app, asked.body()?, &asked.call).await
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
