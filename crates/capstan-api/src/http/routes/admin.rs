//! The requests of administrators about the installation.

use std::sync::Arc;

use axum::extract::{Request, State};

use crate::App;
use crate::answered::Answered;
use crate::http::body;
use crate::http::fields::Fields;
use crate::problem::Problem;
use crate::use_case::answer::{Answer, Installation};
use crate::use_case::queries;

/// Answers the request. Its fields stand in the path, in the query string of a read, else in the body.
pub(super) async fn answer<R: Answer<Installation>>(
    State(app): State<Arc<App>>,
    fields: Fields,
    request: Request,
) -> Result<Answered, Problem> {
    let (head, body) = request.into_parts();
    let json = body::read(&head.headers, body, app.config.command_bytes_max).await?;
    queries::run::<R, _>(&app, &Installation, fields.outer(), &json).await
}
