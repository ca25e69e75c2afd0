//! Commands, batches and queries as requests: the reply is what HTTP answers, a problem document included.
//!
//! A NATS service, so it can be found and watched (`nats micro ls`); one endpoint for each command and query.

use std::sync::Arc;

use async_nats::HeaderMap;
use async_nats::service::endpoint::Endpoint;
use async_nats::service::{Request, ServiceExt};
use futures_util::StreamExt;
use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::queries::Queries;
use super::{Surface, message};
use crate::batch::{self, BATCH};
use crate::call::CallContext;
use crate::commands;
use crate::operation::{Operation, Scope};
use crate::problem::{Code, Problem};

pub(super) async fn serve(surface: Surface) {
    surface.keep_alive("rpc", serve_once).await;
}

async fn serve_once(surface: Surface) -> Result<(), async_nats::Error> {
    let service = surface
        .client
        .service_builder()
        .description("Capstan: commands and queries; the reply is what HTTP answers")
        .queue_group("capstan")
        .start("capstan", env!("CARGO_PKG_VERSION"))
        .await?;
    let slots = Arc::new(Semaphore::new(surface.app.config.nats.concurrency));
    let mut endpoints = Vec::new();
    for name in names() {
        let subject = surface.topology.rpc_subject("*", &name);
        endpoints.push(service.endpoint_builder().name(name).add(subject).await?);
    }
    let queries = Queries::new(&surface.app);
    let running = TaskTracker::new();
    join_all(endpoints.into_iter().map(|endpoint| follow(&surface, &queries, endpoint, &slots, &running)))
        .await;
    running.close();
    running.wait().await;
    service.stop().await
}

/// Everything that can be asked: commands, the batch, queries.
pub(crate) fn names() -> impl Iterator<Item = String> {
    let commands = commands::NAMES.iter().copied().chain([BATCH]).map(str::to_owned);
    commands.chain(Queries::operations().filter_map(Operation::rpc_name))
}

async fn follow(
    surface: &Surface,
    queries: &Queries,
    mut endpoint: Endpoint,
    slots: &Arc<Semaphore>,
    running: &TaskTracker,
) {
    loop {
        let request = tokio::select! {
            () = surface.stop.cancelled() => break,
            request = endpoint.next() => request,
        };
        let (Some(request), Ok(slot)) = (request, Arc::clone(slots).acquire_owned().await) else { break };
        let (surface, queries) = (surface.clone(), queries.clone());
        running.spawn(async move {
            answer(&surface, &queries, request).await;
            drop(slot);
        });
    }
    // Leaving the queue group hands what follows to the other replicas.
    let _ = endpoint.stop().await;
}

/// What is asked under this name.
async fn carry_out(
    surface: &Surface,
    queries: &Queries,
    (workspace, name): (&str, &str),
    json: &[u8],
    call: &CallContext,
) -> Result<(HeaderMap, Vec<u8>), Problem> {
    let named = |operation: &&Operation| operation.rpc_name().is_some_and(|own| own == name);
    if let Some(operation) = Queries::operations().find(named) {
        return queries.ask(operation, workspace, json, call.correlation_id).await;
    }
    let mut headers = HeaderMap::new();
    if name == BATCH {
        surface.app.workspace(workspace).await?;
        let answers = batch::execute(&surface.app, workspace, json, call, may_be_in_batch).await?;
        headers.insert("Capstan-Status", "200");
        return Ok((headers, serde_json::to_vec(&answers).map_err(Problem::internal)?));
    }
    let reply = commands::execute(&surface.app, workspace, name, json, call).await?;
    headers.insert("Capstan-Status", reply.status.as_str());
    Ok((headers, reply.to_json()))
}

/// Permissions of NATS tell subjects apart, not what is in a batch: what governs has a subject of its own.
fn may_be_in_batch(operation: &Operation) -> Result<(), Problem> {
    if operation.scope == Scope::Admin {
        let detail = "this command is not taken in a batch on the bus; ask for it under its own subject";
        return Err(Problem::new(Code::Forbidden, detail));
    }
    Ok(())
}

async fn answer(surface: &Surface, queries: &Queries, request: Request) {
    if request.message.reply.is_none() {
        tracing::debug!(subject = %request.message.subject, "a request without a reply subject was dropped");
        return;
    }
    let call = message::call(request.message.headers.as_ref());
    let correlation_id = call.as_ref().map_or_else(|_| uuid::Uuid::nil(), |call| call.correlation_id);
    let outcome = async {
        let address = surface.topology.parse_command(&request.message.subject);
        let address = address.ok_or_else(|| Problem::not_found("command"))?;
        carry_out(surface, queries, address, &request.message.payload, &call?).await
    }
    .await;
    let (headers, payload) = match outcome {
        Ok(answered) => answered,
        Err(problem) => {
            let mut headers = HeaderMap::new();
            problem.log(correlation_id);
            let code = problem.status();
            headers.insert("Capstan-Status", code.as_str());
            headers.insert("Nats-Service-Error-Code", code.as_str());
            headers.insert("Nats-Service-Error", problem.code.as_str());
            (headers, problem.document(correlation_id).to_json())
        }
    };
    if let Err(error) = request.respond_with_headers(Ok(payload.into()), headers).await {
        tracing::warn!(%error, "failed to reply to a request");
    }
}
