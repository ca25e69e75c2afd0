//! Dead letters: commands that could not be processed, and commits the read models could not fold.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};

use crate::App;
use crate::http::body;
use crate::http::parameters::{Parameters, path_id};
use crate::problem::Problem;
use crate::use_case::dead_letters::{self, DeadLetter, Handled, Id};
use crate::use_case::read::List;

pub(super) async fn list(
    State(app): State<Arc<App>>,
    mut parameters: Parameters,
) -> Result<List<DeadLetter>, Problem> {
    let limit = parameters.limit();
    let after = parameters.value("cursor", "a next_cursor").unwrap_or(Id::Command(0));
    parameters.finish()?;
    dead_letters::list(&app, after, limit).await
}

pub(super) async fn one(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    parameters: Parameters,
) -> Result<Json<DeadLetter>, Problem> {
    parameters.finish()?;
    Ok(Json(dead_letters::one(&app, path_id(&id, "dead letter")?).await?))
}

pub(super) async fn retry(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    parameters: Parameters,
    request: Request,
) -> Result<Json<Handled>, Problem> {
    body::nothing_more(&app, parameters, request).await?;
    Ok(Json(dead_letters::retry(&app, path_id(&id, "dead letter")?).await?))
}

pub(super) async fn discard(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    parameters: Parameters,
    request: Request,
) -> Result<Json<Handled>, Problem> {
    body::nothing_more(&app, parameters, request).await?;
    Ok(Json(dead_letters::discard(&app, path_id(&id, "dead letter")?).await?))
}
