//! Commands on dead letters.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};

use crate::App;
use crate::http::fields::Fields;
use crate::problem::Problem;
use crate::use_case::dead_letters::{self, GetDeadLetter, Handled};

pub(super) async fn retry(
    State(app): State<Arc<App>>,
    fields: Fields,
    request: Request,
) -> Result<Json<Handled>, Problem> {
    let GetDeadLetter { dead_letter_id } = fields.read(&app, request).await?;
    Ok(Json(dead_letters::retry(&app, dead_letter_id).await?))
}

pub(super) async fn discard(
    State(app): State<Arc<App>>,
    fields: Fields,
    request: Request,
) -> Result<Json<Handled>, Problem> {
    let GetDeadLetter { dead_letter_id } = fields.read(&app, request).await?;
    Ok(Json(dead_letters::discard(&app, dead_letter_id).await?))
}
