//! Commits that wait while others are under way leave together as one atomic batch, so that one flush serves them all.

use anyhow::Context;
use tokio::sync::{mpsc, oneshot};

use crate::append::{Append, acknowledged};

/// Most commits of a batch.
const BATCH_MAX: usize = 500;
/// Most commits that wait.
const WAITING_MAX: usize = 4096;

struct Waiting {
    append: Append,
    answer: oneshot::Sender<Result<u64, String>>,
}

/// The way into the next batch.
pub(crate) struct GroupCommit(mpsc::Sender<Waiting>);

impl GroupCommit {
    /// Starts the one task that sends batches, one after another.
    pub(crate) fn start(client: async_nats::Client) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        tokio::spawn(send_batches(client, receiver));
        Self(sender)
    }

    /// Stores a commit with the next batch and answers its sequence.
    pub(crate) async fn append(&self, append: Append) -> anyhow::Result<u64> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Waiting { append, answer }).await.ok().context("the sender of batches is gone")?;
        answered.await?.map_err(anyhow::Error::msg)
    }
}

async fn send_batches(client: async_nats::Client, mut waiting: mpsc::Receiver<Waiting>) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    let mut number = 0_u64;
    while waiting.recv_many(&mut batch, BATCH_MAX).await > 0 {
        number += 1;
        let count = batch.len() as u64;
        let sent = send(&client, &batch, number).await.map_err(|error| format!("{error:#}"));
        for (place, waiting) in (1..).zip(batch.drain(..)) {
            // Commits of a batch follow one another; the answer names the last.
            let _ = waiting.answer.send(sent.clone().map(|last| last + place - count));
        }
    }
}

async fn send(client: &async_nats::Client, batch: &[Waiting], number: u64) -> anyhow::Result<u64> {
    let id = format!("{}-{number}", std::process::id());
    for (place, Waiting { append, .. }) in (1..).zip(batch) {
        let mut headers = append.headers();
        if batch.len() > 1 {
            headers.insert("Nats-Batch-Id", id.as_str());
            headers.insert("Nats-Batch-Sequence", place.to_string());
        }
        let (subject, payload) = (append.subject.clone(), append.payload.clone());
        if place < batch.len() {
            client.publish_with_headers(subject, headers, payload).await?;
            continue;
        }
        if batch.len() > 1 {
            headers.insert("Nats-Batch-Commit", "1");
        }
        let answer = client.request_with_headers(subject, headers, payload).await?;
        return acknowledged(&answer.payload);
    }
    anyhow::bail!("a batch without commits")
}
