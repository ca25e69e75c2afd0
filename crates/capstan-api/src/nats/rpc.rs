//! Commands, batches, queries and worker calls over NATS request/reply. The reply is the HTTP response, problem documents
//! included.
//!
//! It is a NATS service with one endpoint for each operation, so `nats micro ls` finds it.

use std::sync::Arc;

use async_nats::service::endpoint::Endpoint;
use async_nats::service::{Request, ServiceExt};
use async_nats::{HeaderMap, Message};
use futures_util::StreamExt;
use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::message;
use super::surface::Surface;
use crate::answered::Answered;
use crate::auth::caller::Caller;
use crate::call::CallContext;
use crate::http::routes::operations;
use crate::operation::Scope;
use crate::problem::{Code, Problem};
use crate::request;
use crate::use_case::batch::{self, BATCH};
use crate::use_case::{commands, queries, resolve, worker_call};
use capstan_contract::command::{COMMAND_NAMES, Unconditional, WORKER_CALLS};
use capstan_contract::query::QUERIES;

pub(super) async fn serve(surface: Surface) {
    surface.keep_alive("rpc", serve_once).await;
}

async fn serve_once(surface: Surface) -> Result<(), async_nats::Error> {
    let service = surface
        .client
        .service_builder()
        .description("Capstan: commands and queries; the reply is the HTTP response")
        .queue_group("capstan")
        .start("capstan", env!("CARGO_PKG_VERSION"))
        .await?;
    let slots = Arc::new(Semaphore::new(surface.app.config.nats.concurrency));
    let mut endpoints = Vec::new();
    for name in names() {
        let subject = surface.topology.rpc_subject("*", &name);
        // Names of endpoints have no dots.
        endpoints.push(service.endpoint_builder().name(name.replace('.', "-")).add(subject).await?);
    }
    let running = TaskTracker::new();
    join_all(endpoints.into_iter().map(|endpoint| follow(&surface, endpoint, &slots, &running))).await;
    running.close();
    running.wait().await;
    service.stop().await
}

/// The names of all requests: commands, the batch, queries and worker calls.
pub(crate) fn names() -> impl Iterator<Item = String> {
    let queries = QUERIES.iter().map(|query| query.name);
    let names = COMMAND_NAMES.iter().copied().chain([BATCH]).chain(queries).map(str::to_owned);
    names.chain(WORKER_CALLS.iter().map(|call| format!("{WORKER}{}", call.name)))
}

async fn follow(surface: &Surface, mut endpoint: Endpoint, slots: &Arc<Semaphore>, running: &TaskTracker) {
    loop {
        let request = tokio::select! {
            () = surface.stop.cancelled() => break,
            request = endpoint.next() => request,
        };
        let Some(request) = request else { break };
        // Worker calls wait long: they would block all other requests, and each other's renewals.
        let slot = match address(surface, &request) {
            Some((_, name)) if name.starts_with(WORKER) => None,
            _ => match Arc::clone(slots).acquire_owned().await {
                Ok(slot) => Some(slot),
                Err(_) => break,
            },
        };
        let surface = surface.clone();
        running.spawn(async move {
            answer(&surface, request).await;
            drop(slot);
        });
    }
    // Leaving the queue group hands what follows to the other replicas.
    let _ = endpoint.stop().await;
}

/// Prefix of the names of worker calls.
const WORKER: &str = "worker.";

/// The workspace and the name a request is sent to.
fn address<'a>(surface: &Surface, request: &'a Request) -> Option<(&'a str, &'a str)> {
    surface.topology.parse_rpc(&request.message.subject)
}

/// Executes the request of this name.
async fn execute(
    surface: &Surface,
    (workspace, name): (&str, &str),
    message: &Message,
    call: &CallContext,
) -> Result<(HeaderMap, Vec<u8>), Problem> {
    let json = &message.payload;
    let fields = message::fields(message.headers.as_ref());
    if let Some(name) = name.strip_prefix(WORKER) {
        let workspace = resolve::workspace(&surface.app, workspace).await?;
        let caller = Caller::BusWorker(workspace.to_string());
        let answered = worker_call::execute_by_name(&surface.app, &caller, name, &fields, json, call.clone());
        return Ok(rendered(answered.await?));
    }
    if name == BATCH {
        resolve::workspace(&surface.app, workspace).await?;
        let (Unconditional {}, conditions) = request::read(&fields, b"")?;
        let answers =
            batch::execute(&surface.app, workspace, conditions, json, call, may_be_in_batch).await?;
        return Ok(rendered(Answered { is_minimal: call.is_minimal, ..Answered::json(&answers) }));
    }
    if QUERIES.iter().any(|query| query.name == name) {
        return Ok(rendered(queries::answer(&surface.app, workspace, name, &fields, json).await?));
    }
    let reply = commands::execute_given(&surface.app, workspace, name, &fields, json, &[], call).await?;
    Ok(rendered(reply.into()))
}

/// The headers and the payload of a reply.
fn rendered(answered: Answered) -> (HeaderMap, Vec<u8>) {
    (message::headers_of(&answered), answered.json)
}

/// Refuses administration in a batch: NATS permissions are per subject and do not see the commands of a batch.
fn may_be_in_batch(name: &str) -> Result<(), Problem> {
    let operation = operations().iter().find(|operation| operation.bus == Some(name));
    if operation.ok_or_else(|| Problem::not_found("command"))?.scope == Scope::Admin {
        let detail = "this command is not allowed in a batch over NATS; send it on its own subject";
        return Err(Problem::new(Code::Forbidden, detail));
    }
    Ok(())
}

async fn answer(surface: &Surface, request: Request) {
    if request.message.reply.is_none() {
        tracing::debug!(subject = %request.message.subject, "a request without a reply subject was dropped");
        return;
    }
    let call = message::call(request.message.headers.as_ref());
    let outcome = async {
        let address = address(surface, &request).ok_or_else(|| Problem::not_found("command"))?;
        execute(surface, address, &request.message, &call).await
    }
    .await;
    let (headers, payload) = outcome.unwrap_or_else(|problem| {
        problem.log(call.correlation_id);
        message::refusal(&problem, call.correlation_id)
    });
    if let Err(error) = request.respond_with_headers(Ok(payload.into()), headers).await {
        tracing::warn!(%error, "failed to reply to a request");
    }
}
