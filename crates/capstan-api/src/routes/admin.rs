//! Operations on the read models.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use capstan_envelope::Position;
use capstan_projections::{MODELS, ProjectorConfig, ProjectorState, RebuildError, Which, rebuild};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::App;
use crate::body;
use crate::parameters::Parameters;
use crate::problem::{Code, Problem};
use crate::shown::List;

/// How long a rebuild is waited for before the answer says that it goes on.
const REBUILD_WAIT: Duration = Duration::from_secs(20);

/// A read model and how far it is. All models of a process move together.
#[derive(Debug, Serialize)]
pub(super) struct Projection {
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Empty {}

/// Builds a read model anew, `all` for all of them. Answers 200 with the report, or 202 when it takes longer.
pub(super) async fn build_anew(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    parameters: Parameters,
    request: Request,
) -> Result<Response, Problem> {
    parameters.finish()?;
    let (head, body) = request.into_parts();
    let json = body::read(&head.headers, body, app.config.command_bytes_max).await?;
    let Empty {} = body::parse_optional(&json)?;
    let which = if name == "all" { Which::All } else { Which::Some(vec![name]) };
    let (log, models) = (app.log.clone(), app.reads.models().clone());
    let mut running = tokio::spawn(async move {
        let built = rebuild(&log, &models, &which, &ProjectorConfig::default()).await;
        match &built {
            Ok(report) => {
                tracing::info!(schema = report.schema, events = report.events, "the read models are rebuilt");
            }
            Err(error) => tracing::warn!(%error, "failed to rebuild the read models"),
        }
        built
    });
    match tokio::time::timeout(REBUILD_WAIT, &mut running).await {
        Ok(Ok(built)) => {
            Ok((StatusCode::OK, Json(json!({ "done": true, "report": built? }))).into_response())
        }
        Ok(Err(panicked)) => Err(Problem::internal(panicked)),
        // It goes on; the list says when it is done.
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
