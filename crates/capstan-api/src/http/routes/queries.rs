//! The queries over HTTP.

use std::sync::Arc;

use axum::extract::State;

use crate::App;
use crate::answered::Answered;
use crate::http::fields::Fields;
use crate::problem::Problem;
use crate::use_case::answer::Answer;
use crate::use_case::queries;

/// Answers a query of the workspace in the path.
pub(super) async fn of_workspace<Q: Answer>(
    State(app): State<Arc<App>>,
    fields: Fields,
) -> Result<Answered, Problem> {
    let workspace = fields.workspace().unwrap_or_default();
    queries::of_workspace::<Q>(&app, workspace, fields.outer(), b"").await
}
