//! The tokens of a workspace.

use std::sync::Arc;

use axum::extract::{Path, State};

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
    let revoked = parameters.flag("revoked");
    parameters.finish()?;
    let workspace = resolve::workspace(&app, &workspace).await?;
    app.reads.tokens(&workspace, revoked, &page).await
}
