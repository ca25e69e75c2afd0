//! `inbox`: the questions that wait for an answer, over all tasks of a workspace.

use std::sync::Arc;

use axum::extract::{Path, State};

use capstan_projections::BlockerFilter;

use crate::App;
use crate::http::parameters::Parameters;
use crate::http::responses::{List, page};
use crate::problem::Problem;

pub(super) async fn list(
    State(app): State<Arc<App>>,
    Path(workspace): Path<String>,
    mut parameters: Parameters,
) -> Result<List, Problem> {
    let page = page(&mut parameters);
    let agent = parameters.text("agent_id");
    let kinds = parameters.choices("kind", "kinds of questions");
    parameters.finish()?;
    let workspace = app.workspace(&workspace).await?;
    let agent_id = app.agent_filter(&workspace, agent).await?;
    app.reads.open_blockers(&workspace, &BlockerFilter { kinds, agent_id }, &page).await
}
