//! Commands as requests: the reply is the receipt with the entity, or the problem document.
//!
//! A NATS service, so it can be found and watched (`nats micro ls`); one endpoint for each command.

use std::sync::Arc;

use async_nats::HeaderMap;
use async_nats::service::endpoint::Endpoint;
use async_nats::service::{Request, ServiceExt};
use futures_util::StreamExt;
use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::{Surface, message};
use crate::commands;
use crate::problem::Problem;
use crate::receipt::Reply;

pub(super) async fn serve(surface: Surface) {
    surface.keep_alive("rpc", serve_once).await;
}

async fn serve_once(surface: Surface) -> Result<(), async_nats::Error> {
    let service = surface
        .client
        .service_builder()
        .description("Capstan commands: the reply is a receipt or a problem document")
        .queue_group("capstan")
        .start("capstan", env!("CARGO_PKG_VERSION"))
        .await?;
    let slots = Arc::new(Semaphore::new(surface.app.config.nats.concurrency));
    let mut endpoints = Vec::new();
    for name in commands::NAMES {
        let subject = surface.topology.rpc_subject("*", name);
        endpoints.push(service.endpoint_builder().name(*name).add(subject).await?);
    }
    let running = TaskTracker::new();
    join_all(endpoints.into_iter().map(|endpoint| follow(&surface, endpoint, &slots, &running))).await;
    running.close();
    running.wait().await;
    service.stop().await
}

async fn follow(surface: &Surface, mut endpoint: Endpoint, slots: &Arc<Semaphore>, running: &TaskTracker) {
    loop {
        let request = tokio::select! {
            () = surface.stop.cancelled() => break,
            request = endpoint.next() => request,
        };
        let (Some(request), Ok(slot)) = (request, Arc::clone(slots).acquire_owned().await) else { break };
        let surface = surface.clone();
        running.spawn(async move {
            answer(&surface, request).await;
            drop(slot);
        });
    }
    // Leaving the queue group hands what follows to the other replicas.
    let _ = endpoint.stop().await;
}

async fn answer(surface: &Surface, request: Request) {
    if request.message.reply.is_none() {
        tracing::debug!(subject = %request.message.subject, "a request without a reply subject was dropped");
        return;
    }
    let call = message::call(request.message.headers.as_ref());
    let correlation_id = call.as_ref().map_or_else(|_| uuid::Uuid::nil(), |call| call.correlation_id);
    let outcome: Result<Reply, Problem> = async {
        let (workspace, command) = surface
            .topology
            .parse_command(&request.message.subject)
            .ok_or_else(|| Problem::not_found("command"))?;
        commands::execute(&surface.app, workspace, command, &request.message.payload, &call?).await
    }
    .await;
    let mut headers = HeaderMap::new();
    let payload = match &outcome {
        Ok(reply) => {
            headers.insert("Capstan-Status", reply.status.as_str());
            reply.to_json()
        }
        Err(problem) => {
            problem.log(correlation_id);
            let code = problem.status();
            headers.insert("Capstan-Status", code.as_str());
            headers.insert("Nats-Service-Error-Code", code.as_str());
            headers.insert("Nats-Service-Error", problem.code.as_str());
            problem.document(correlation_id).to_json()
        }
    };
    if let Err(error) = request.respond_with_headers(Ok(payload.into()), headers).await {
        tracing::warn!(%error, "failed to reply to a request");
    }
}
