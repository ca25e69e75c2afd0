//! `/v1/workspaces` and one workspace.

use std::sync::Arc;

use axum::extract::{Path, State};

use crate::App;
use crate::http::parameters::Parameters;
use crate::problem::Problem;
use crate::use_case::read::Object;
use crate::use_case::resolve;

pub(super) async fn one(
    State(app): State<Arc<App>>,
    Path(workspace): Path<String>,
    parameters: Parameters,
) -> Result<Object, Problem> {
    parameters.finish()?;
    let workspace = resolve::workspace(&app, &workspace).await?;
    app.reads.workspace(&workspace).await?.ok_or_else(|| Problem::not_found("workspace"))
}
