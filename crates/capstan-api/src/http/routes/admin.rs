//! Operations on the read models.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use capstan_envelope::Position;
use capstan_projections::{MODELS, ProjectorConfig, ProjectorState, RebuildError, Which, rebuild, verify};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::App;
use crate::http::body;
use crate::http::parameters::Parameters;
use crate::http::responses::List;
use crate::problem::{Code, Problem};

/// How long a rebuild or a comparison is waited for before the answer says that it goes on.
const PATIENCE: Duration = Duration::from_secs(20);

/// A read model and how far it is. All models of a process move together.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Projection {
    name: &'static str,
    version: i32,
    #[serde(flatten)]
    state: Option<ProjectorState>,
    position: Position,
    head: Position,
    lag_events: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parked_streams: Option<usize>,
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    parameters: Parameters,
) -> Result<List<Projection>, Problem> {
    parameters.finish()?;
    let head = app.log.head().await?;
    let position = app.reads.models().position().await?;
    let status = app.projector.as_ref().map(|status| status.borrow().clone());
    let items = MODELS
        .iter()
        .map(|(name, version)| Projection {
            name,
            version: *version,
            state: status.as_ref().map(|status| status.state.clone()),
            position,
            head,
            lag_events: head.sequence().saturating_sub(position.sequence()),
            lag_seconds: status.as_ref().map(|status| status.lag_seconds),
            parked_streams: status.as_ref().map(|status| status.parked_streams),
        })
        .collect();
    Ok(List { items, next_cursor: None, position, limit: MODELS.len() as u32, total: None })
}

/// Builds a read model anew, `all` for all of them. Answers 200 with the report, or 202 when it takes longer.
pub(super) async fn build_anew(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    parameters: Parameters,
    request: Request,
) -> Result<Response, Problem> {
    body::nothing_more(&app, parameters, request).await?;
    let which = if name == "all" { Which::All } else { Which::Some(vec![name]) };
    let (log, models) = (app.log.clone(), app.reads.models().clone());
    within_patience(async move {
        let built = rebuild(&log, &models, &which, &ProjectorConfig::default()).await;
        match &built {
            Ok(report) => {
                tracing::info!(schema = report.schema, events = report.events, "the read models are rebuilt");
            }
            Err(error) => tracing::warn!(%error, "failed to rebuild the read models"),
        }
        Ok(json!({ "done": true, "report": built? }))
    })
    .await
}

/// Compares the rows of a read model with what the log says, `all` for all of them. What differs is logged as well: the
/// comparison goes on when it takes longer than the answer may.
pub(super) async fn verify_rows(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    parameters: Parameters,
    request: Request,
) -> Result<Response, Problem> {
    body::nothing_more(&app, parameters, request).await?;
    if name != "all" && !MODELS.iter().any(|(model, _)| *model == name) {
        return Err(Problem::not_found("read model"));
    }
    let (log, models) = (app.log.clone(), app.reads.models().clone());
    within_patience(async move {
        let mut report = verify(&log, &models).await.map_err(|error| {
            Problem::new(Code::ReadModelUnavailable, "the rows could not be compared").because(error)
        })?;
        report.differences.retain(|difference| name == "all" || difference.model == name);
        let is_whole = report.differences.is_empty();
        for difference in &report.differences {
            tracing::error!(model = difference.model, rows = difference.count, "rows differ from the log");
        }
        Ok(json!({ "done": true, "ok": is_whole, "report": report }))
    })
    .await
}

/// Answers 200 with what the work says, or 202 when it takes longer; it goes on then.
async fn within_patience(
    work: impl Future<Output = Result<Value, Problem>> + Send + 'static,
) -> Result<Response, Problem> {
    let mut running = tokio::spawn(work);
    match tokio::time::timeout(PATIENCE, &mut running).await {
        Ok(Ok(said)) => Ok((StatusCode::OK, Json(said?)).into_response()),
        Ok(Err(panicked)) => Err(Problem::internal(panicked)),
        Err(_) => Ok((StatusCode::ACCEPTED, Json(json!({ "done": false }))).into_response()),
    }
}

impl From<RebuildError> for Problem {
    fn from(error: RebuildError) -> Self {
        match error {
            RebuildError::UnknownModel(_) => Self::not_found("read model"),
            RebuildError::Busy => Self::new(Code::IllegalTransition, "another rebuild is under way"),
            error => Self::new(
                Code::ReadModelUnavailable,
                "the read models could not be rebuilt; they are as they were",
            )
            .because(error),
        }
    }
}
