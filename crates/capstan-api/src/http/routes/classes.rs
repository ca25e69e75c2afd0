//! The execution classes of a workspace.

use std::sync::Arc;

use axum::extract::{Path, State};

use crate::App;
use crate::http::parameters::Parameters;
use crate::problem::Problem;
use crate::use_case::read::{List, Object};
use crate::use_case::resolve;

pub(super) async fn list(
    State(app): State<Arc<App>>,
    Path(workspace): Path<String>,
    mut parameters: Parameters,
) -> Result<List, Problem> {
    let page = parameters.page();
    parameters.finish()?;
    let workspace = resolve::workspace(&app, &workspace).await?;
    app.reads.classes(&workspace, &page).await
}

pub(super) async fn one(
    State(app): State<Arc<App>>,
    Path((workspace, instance_key)): Path<(String, String)>,
    parameters: Parameters,
) -> Result<Object, Problem> {
    parameters.finish()?;
    let workspace = resolve::workspace(&app, &workspace).await?;
    let found = app.reads.class(&workspace, &instance_key).await?;
    found.ok_or_else(|| Problem::not_found("class"))
}
