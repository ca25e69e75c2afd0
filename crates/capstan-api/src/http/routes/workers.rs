//! The worker protocol: register, lease, renew, drain. The engine answers; this only hands on.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use capstan_contract::command::{LeaseRequest, RegisterWorker, RenewRequest};
use capstan_contract::lease::{LeasedAttempt, RegisteredWorker, RenewAnswer};
use capstan_domain::Faults;
use capstan_domain::id::WorkerId;
use serde_json::{Value, json};

use crate::App;
use crate::auth::caller::Caller;
use crate::http::body;
use crate::http::parameters::{Parameters, path_id};
use crate::problem::Problem;

/// Longest wait for work, in milliseconds; longer wishes are cut to it.
const WAIT_MS_MAX: u64 = 30_000;
/// Most attempts one worker runs at once.
const SLOTS_MAX: u32 = 10_000;

pub(super) async fn register(
    State(app): State<Arc<App>>,
    caller: Caller,
    parameters: Parameters,
    request: Request,
) -> Result<(StatusCode, Json<RegisteredWorker>), Problem> {
    parameters.finish()?;
    let body: RegisterWorker = body::read_as(request, app.config.command_bytes_max).await?;
    let mut faults = Faults::default();
    faults.require(!body.name.trim().is_empty(), "/name", "name is required");
    faults.require((1..=SLOTS_MAX).contains(&body.slots), "/slots", "must be 1 to 10000");
    Problem::refuse(faults)?;
    Ok((StatusCode::CREATED, Json(app.engine.within(caller.reach()).register(body).await?)))
}

pub(super) async fn lease(
    State(app): State<Arc<App>>,
    Path(worker): Path<String>,
    caller: Caller,
    parameters: Parameters,
    request: Request,
) -> Result<Json<Vec<LeasedAttempt>>, Problem> {
    parameters.finish()?;
    let worker: WorkerId = path_id(&worker, "worker")?;
    let body: LeaseRequest = body::read_as(request, app.config.command_bytes_max).await?;
    let wait = Duration::from_millis(body.wait_ms.min(WAIT_MS_MAX));
    let engine = app.engine.within(caller.reach());
    let asked = engine.lease(worker, body.max.min(SLOTS_MAX), wait);
    tokio::select! {
        attempts = asked => Ok(Json(attempts?)),
        // A poll does not outlive its token: dropping it tells the engine to give it nothing.
        () = app.holders.until_refused(&caller) => Ok(Json(Vec::new())),
        () = app.stopping.cancelled() => Ok(Json(Vec::new())),
    }
}

pub(super) async fn renew(
    State(app): State<Arc<App>>,
    Path(worker): Path<String>,
    caller: Caller,
    parameters: Parameters,
    request: Request,
) -> Result<Json<Vec<RenewAnswer>>, Problem> {
    parameters.finish()?;
    let worker: WorkerId = path_id(&worker, "worker")?;
    let RenewRequest { renewals, wait_ms } = body::read_as(request, app.config.command_bytes_max).await?;
    let wait = Duration::from_millis(wait_ms.min(WAIT_MS_MAX));
    let engine = app.engine.within(caller.reach());
    let answers = tokio::select! {
        answers = engine.renew(worker, renewals.clone(), wait) => answers?,
        // A server that stops does not wait for news, nor does a poll outlive its token.
        () = app.stopping.cancelled() => engine.renew(worker, renewals, Duration::ZERO).await?,
        () = app.holders.until_refused(&caller) => engine.renew(worker, renewals, Duration::ZERO).await?,
    };
    Ok(Json(answers))
}

pub(super) async fn drain(
    State(app): State<Arc<App>>,
    Path(worker): Path<String>,
    caller: Caller,
    parameters: Parameters,
    request: Request,
) -> Result<Json<Value>, Problem> {
    parameters.finish()?;
    let worker: WorkerId = path_id(&worker, "worker")?;
    body::nothing(request, app.config.command_bytes_max).await?;
    app.engine.within(caller.reach()).drain(worker).await?;
    Ok(Json(json!({ "draining": true })))
}
