//! Outcomes of durable commands: published together with those that are there at the same time, then their messages are
//! acknowledged.

use std::time::Duration;

use async_nats::jetstream::{self, Message};
use async_nats::{Client, HeaderMap, Request};
use bytes::Bytes;
use capstan_eventlog::{BatchMessage, begin_batch, stored_at};
use chrono::Utc;
use tokio::sync::mpsc;

use crate::call::fresh_id;

/// Most outcomes of one batch; the server takes 1000.
const BATCH_MAX: usize = 256;
/// Bytes of outcomes at which a batch ends.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// Longest wait for the server to store a batch.
const STORE_WAIT: Duration = Duration::from_secs(10);

/// What is left to do for a command whose effect is stored.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The message of the command.
    pub(super) command: Message,
    /// Subject, headers and payload of its outcome. None for a command whose outcome nobody could subscribe to.
    pub(super) publish: Option<(String, HeaderMap, Bytes)>,
}

/// Publishes outcomes and acknowledges their commands until the queue is closed. What cannot be published is not
/// acknowledged: its command is delivered again, and has the same outcome.
pub(super) async fn publish(client: Client, mut outcomes: mpsc::Receiver<Outcome>) {
    let jetstream = jetstream::new(client.clone());
    let mut ready = Vec::with_capacity(BATCH_MAX);
    while outcomes.recv_many(&mut ready, BATCH_MAX).await > 0 {
        while !ready.is_empty() {
            let batch: Vec<_> = ready.drain(..first_batch(&ready)).collect();
            let is_stored = batch.len() > 1 && store_batch(&client, &batch).await.is_ok();
            for outcome in &batch {
                // Each alone where the server refuses them together: one too long must not keep the others.
                let stored = if is_stored { Ok(()) } else { store_one(&jetstream, outcome).await };
                let done = match stored {
                    Ok(()) => outcome.command.ack().await,
                    Err(error) => Err(error),
                };
                if let Err(error) = done {
                    tracing::warn!(%error, "failed to acknowledge a command from the queue");
                }
            }
        }
    }
}

/// Number of the first outcomes that go together.
fn first_batch(outcomes: &[Outcome]) -> usize {
    let mut bytes = 0;
    let fits = outcomes.iter().take_while(|outcome| {
        bytes += outcome.publish.as_ref().map_or(0, |(_, _, payload)| payload.len());
        bytes <= BATCH_BYTES_MAX
    });
    fits.count().max(1)
}

async fn store_one(jetstream: &jetstream::Context, outcome: &Outcome) -> Result<(), async_nats::Error> {
    let Some((subject, headers, payload)) = &outcome.publish else { return Ok(()) };
    jetstream.publish_with_headers(subject.clone(), headers.clone(), payload.clone()).await?.await?;
    Ok(())
}

/// Stores outcomes as one batch of the server, which it flushes once.
async fn store_batch(client: &Client, outcomes: &[Outcome]) -> Result<(), async_nats::Error> {
    let message = |(subject, headers, payload): &(String, HeaderMap, Bytes)| BatchMessage {
        subject: subject.clone(),
        headers: headers.clone(),
        payload: payload.clone(),
    };
    let messages = outcomes.iter().filter_map(|outcome| outcome.publish.as_ref().map(message)).collect();
    let id = fresh_id(Utc::now()).simple().to_string();
    let Some(last) = begin_batch(client, &id, messages).await? else { return Ok(()) };
    let request = Request::new().headers(last.headers).payload(last.payload).timeout(Some(STORE_WAIT));
    let reply = client.send_request(last.subject, request).await?;
    stored_at(&reply.payload)?;
    Ok(())
}
