//! `inbox`: the questions that wait for an answer, over all tasks of a workspace.

use std::sync::Arc;

use axum::extract::{Path, State};

use capstan_projections::BlockerFilter;

use crate::App;
use crate::http::parameters::Parameters;
use crate::problem::Problem;
use crate::use_case::read::List;
use crate::use_case::resolve;

pub(super) async fn list(
    State(app): State<Arc<App>>,
    Path(workspace): Path<String>,
    mut parameters: Parameters,
) -> Result<List, Problem> {
    let page = parameters.page();
    let agent = parameters.text("agent_id");
    let kinds = parameters.choices("kind", "kinds of questions");
    parameters.finish()?;
    let workspace = resolve::workspace(&app, &workspace).await?;
    let agent_id = resolve::agent_filter(&app, &workspace, agent).await?;
    app.reads.open_blockers(&workspace, &BlockerFilter { kinds, agent_id }, &page).await
}
