//! `/healthz`, `/readyz`, `/metrics`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use schemars::JsonSchema;
use serde::Serialize;

use crate::App;
use crate::use_case::readiness::{self, Report};

/// The response to `/healthz`.
#[derive(Serialize, JsonSchema)]
pub(super) struct Health {
    /// Always true: a process that is not alive does not respond.
    alive: bool,
}

pub(super) async fn alive() -> Json<Health> {
    Json(Health { alive: true })
}

pub(super) async fn ready(State(app): State<Arc<App>>) -> (StatusCode, Json<Report>) {
    let report = readiness::report(&app.checks, app.stopping.is_cancelled()).await;
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report))
}

pub(super) async fn metrics(State(app): State<Arc<App>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], app.metrics.render())
}
