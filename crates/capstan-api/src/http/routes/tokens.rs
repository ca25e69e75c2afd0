//! The tokens of a workspace.

use std::sync::Arc;

use axum::extract::{Path, State};

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
    let revoked = parameters.flag("revoked");
    parameters.finish()?;
    let workspace = app.workspace(&workspace).await?;
    app.reads.tokens(&workspace, revoked, &page).await
}
