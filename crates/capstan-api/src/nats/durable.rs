//! Commands from the work queue.
//!
//! The server keeps a published command until its outcome is stored in the log and published on
//! `capstan.cmd-result.<workspace>.<command-id>`; only then is it acknowledged. A redelivery finds the command executed
//! and publishes the same outcome again. Commands of one publisher may run out of order: a publisher that needs an order
//! waits for each outcome.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::{self, AckKind, Context, Message};
use futures_util::StreamExt;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::message;
use super::surface::Surface;
use crate::answered::Answered;
use crate::call::CallContext;
use crate::problem::{Code, Problem};
use crate::use_case::commands;
use capstan_contract::command::COMMAND_NAMES;
use capstan_domain::span::backoff_ms;

/// The consumer all replicas share.
const CONSUMER: &str = "capstan-commands";
/// Longest pause before a redelivery, in milliseconds.
const BACK_OFF_MS_MAX: i64 = 30_000;

pub(super) async fn serve(surface: Surface) {
    surface.keep_alive("commands", serve_once).await;
}

async fn serve_once(surface: Surface) -> Result<(), async_nats::Error> {
    let bounds = &surface.app.config.nats;
    let jetstream = jetstream::new(surface.client.clone());
    let stream = jetstream.get_stream(surface.topology.commands_stream()).await?;
    let config = pull::Config {
        durable_name: Some(CONSUMER.to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: bounds.ack_wait,
        // Capstan decides when to give up, and stores a dead letter.
        max_deliver: -1,
        max_ack_pending: i64::try_from(bounds.concurrency.saturating_mul(16)).unwrap_or(i64::MAX),
        ..pull::Config::default()
    };
    let consumer = stream.get_or_create_consumer(CONSUMER, config).await?;
    let mut messages = consumer
        .stream()
        .max_messages_per_batch(bounds.concurrency)
        .expires(Duration::from_secs(30))
        .heartbeat(Duration::from_secs(5))
        .messages()
        .await?;
    let slots = Arc::new(Semaphore::new(bounds.concurrency));
    let running = TaskTracker::new();
    let ended = loop {
        let message = tokio::select! {
            () = surface.stop.cancelled() => break Ok(()),
            message = messages.next() => message,
        };
        let message = match message {
            Some(Ok(message)) => message,
            Some(Err(error)) => break Err(error.into()),
            None => break Err("the consumer ended".into()),
        };
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { break Ok(()) };
        let (surface, jetstream) = (surface.clone(), jetstream.clone());
        running.spawn(async move {
            if let Err(error) = handle(&surface, &jetstream, message).await {
                // Not acknowledged, so it is delivered again.
                tracing::warn!(%error, "failed to acknowledge a command from the queue");
            }
            drop(slot);
        });
    };
    drop(messages);
    running.close();
    running.wait().await;
    ended
}

/// Executes one command and acknowledges its message.
async fn handle(surface: &Surface, jetstream: &Context, message: Message) -> Result<(), async_nats::Error> {
    let info = message.info()?;
    // A recreated queue counts from 1 again; the time of storage makes the place unique.
    let place = format!("{}:{}", info.stream_sequence, info.published.unix_timestamp_nanos());
    let deliveries = info.delivered;
    let headers = message.headers.as_ref();
    let Some((workspace, command)) = surface.topology.parse_command(&message.subject) else {
        let problem = Problem::not_found("command");
        surface.app.dead_letters.keep(&message, None, &problem, deliveries).await?;
        return message.double_ack().await;
    };
    let mut fields = message::fields(headers);
    let command_id = message::command_id(&message, &mut fields, workspace, &place);
    let outcome: Result<Answered, Problem> = async {
        let call = CallContext { answer_is_kept: true, ..message::call(headers) };
        let json = &message.payload;
        let reply =
            commands::execute_given(&surface.app, workspace, command, &fields, json, &[], &call).await?;
        Ok(reply.into())
    }
    .await;
    if let Err(problem) = &outcome {
        problem.log(command_id);
        let is_failure = problem.status() >= 500;
        if is_failure && deliveries < surface.app.config.nats.deliveries_max {
            message.ack_with(AckKind::Nak(Some(back_off(deliveries)))).await?;
            return Ok(());
        }
        let is_unreadable = matches!(problem.code, Code::MalformedRequest)
            || !COMMAND_NAMES.contains(&command)
            || capstan_envelope::Workspace::new(workspace).is_err();
        if is_failure || is_unreadable {
            surface.app.dead_letters.keep(&message, Some(command_id), problem, deliveries).await?;
        }
    }
    publish_outcome(surface, jetstream, workspace, command_id, outcome).await?;
    message.double_ack().await
}

/// 100 ms, doubled with every delivery.
fn back_off(deliveries: i64) -> Duration {
    let doublings = u32::try_from(deliveries.max(1) - 1).unwrap_or(u32::MAX);
    Duration::from_millis(backoff_ms(100, doublings, BACK_OFF_MS_MAX).unsigned_abs())
}

async fn publish_outcome(
    surface: &Surface,
    jetstream: &Context,
    workspace: &str,
    command_id: Uuid,
    outcome: Result<Answered, Problem>,
) -> Result<(), async_nats::Error> {
    let Ok(workspace) = workspace.parse() else {
        // Such a subject cannot be subscribed to.
        return Ok(());
    };
    let subject = surface.topology.command_result_subject(&workspace, &command_id.to_string());
    let (mut headers, payload) = match outcome {
        Ok(answered) => (message::headers_of(&answered), answered.json),
        Err(problem) => message::refusal(&problem, command_id),
    };
    headers.insert(message::COMMAND_ID, command_id.to_string());
    jetstream.publish_with_headers(subject, headers, payload.into()).await?.await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_between_deliveries_grows_to_its_limit() {
        let pauses: Vec<_> = [1, 2, 5, 10, i64::MAX].into_iter().map(|n| back_off(n).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 1_600, 30_000, 30_000]);
    }
}
