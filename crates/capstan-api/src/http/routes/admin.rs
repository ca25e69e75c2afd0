//! The read models, for administrators.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use capstan_projections::{RebuildReport, VerifyReport};
use serde::Serialize;

use crate::App;
use crate::http::body;
use crate::http::parameters::Parameters;
use crate::problem::Problem;
use crate::use_case::projection::{self, Job, Projection};
use crate::use_case::read::List;

pub(super) async fn list(
    State(app): State<Arc<App>>,
    parameters: Parameters,
) -> Result<List<Projection>, Problem> {
    parameters.finish()?;
    projection::list(&app).await
}

pub(super) async fn rebuild(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    parameters: Parameters,
    request: Request,
) -> Result<Job<RebuildReport>, Problem> {
    body::nothing_more(&app, parameters, request).await?;
    projection::rebuild(&app, name).await
}

pub(super) async fn verify(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    parameters: Parameters,
    request: Request,
) -> Result<Job<VerifyReport>, Problem> {
    body::nothing_more(&app, parameters, request).await?;
    projection::verify(&app, name).await
}

impl<R: Serialize> IntoResponse for Job<R> {
    /// 200 with the result, or 202 while the job is running.
    fn into_response(self) -> Response {
        let status = if self.done { StatusCode::OK } else { StatusCode::ACCEPTED };
        (status, Json(self)).into_response()
    }
}
