//! `inbox`: the questions that wait for an answer, over all tasks of a workspace.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;

use crate::App;
use crate::parameters::Parameters;
use crate::problem::Problem;
use crate::shown::{List, page};

pub(super) fn reads() -> Router<Arc<App>> {
    Router::new().route("/v1/workspaces/{workspace}/inbox", get(list))
}

async fn list(
    State(app): State<Arc<App>>,
    Path(workspace): Path<String>,
    mut parameters: Parameters,
) -> Result<List, Problem> {
    let page = page(&mut parameters);
    parameters.finish()?;
    let workspace = app.workspace(&workspace).await?;
    app.reads.open_blockers(&workspace, &page).await
}
