//! What the agents of a workspace produced.

use std::sync::Arc;

use axum::extract::{Path, State};

use crate::App;
use crate::parameters::{Parameters, path_id};
use crate::problem::Problem;
use crate::shown::{List, Object, page};

pub(super) async fn list(
    State(app): State<Arc<App>>,
    Path(workspace): Path<String>,
    mut parameters: Parameters,
) -> Result<List, Problem> {
    let page = page(&mut parameters);
    let task_id = parameters.value("task_id", "a task id");
    parameters.finish()?;
    let workspace = app.workspace(&workspace).await?;
    app.reads.outputs(&workspace, task_id, &page).await
}

pub(super) async fn one(
    State(app): State<Arc<App>>,
    Path((workspace, output)): Path<(String, String)>,
    parameters: Parameters,
) -> Result<Object, Problem> {
    parameters.finish()?;
    let (workspace, output) = (app.workspace(&workspace).await?, path_id(&output, "output")?);
    app.reads.output(&workspace, output).await?.ok_or_else(|| Problem::not_found("output"))
}
