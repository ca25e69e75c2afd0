//! Producers that reach the product over NATS: each sends its next command when the effect of the last one is stored.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use async_nats::{Client, HeaderMap, Message, jetstream};
use capstan_envelope::Workspace;
use capstan_eventlog::Topology;
use futures_util::StreamExt;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use uuid::Uuid;

use crate::bench::report::Latency;

/// The command that is sent, and the workspace it is sent to.
const COMMAND: &str = "accept-agent-command";
const WORKSPACE: &str = "dev";
/// Header with the id of a command, which its outcome is published under.
const COMMAND_ID: &str = "Capstan-Command-Id";
/// Longest wait for an outcome.
const PATIENCE: Duration = Duration::from_secs(30);

/// The way a command takes, with its subject.
#[derive(Clone)]
enum Way {
    /// A request, answered with the receipt.
    Request(String),
    /// A message in the queue of durable commands. Its outcome is published after its effect is stored.
    Durable(String, Arc<Outcomes>),
}

/// Runs `producers` with requests for `span`.
pub(super) async fn requests(
    nats_url: &str,
    producers: usize,
    span: Duration,
    body: fn(u64) -> String,
) -> anyhow::Result<Latency> {
    let subject = Topology::new(None)?.rpc_subject(WORKSPACE, COMMAND);
    run(nats_url, producers, span, body, &Way::Request(subject)).await
}

/// Runs `producers` with durable commands for `span`.
pub(super) async fn durable(
    nats_url: &str,
    producers: usize,
    span: Duration,
    body: fn(u64) -> String,
) -> anyhow::Result<Latency> {
    let topology = Topology::new(None)?;
    let (outcomes, following) = Outcomes::follow(nats_url, &topology).await?;
    let way = Way::Durable(topology.command_subject(WORKSPACE, COMMAND), outcomes);
    let latency = run(nats_url, producers, span, body, &way).await;
    following.abort();
    latency
}

async fn run(
    nats_url: &str,
    producers: usize,
    span: Duration,
    body: fn(u64) -> String,
    way: &Way,
) -> anyhow::Result<Latency> {
    let mut clients = Vec::with_capacity(producers);
    for _ in 0..producers {
        clients.push(async_nats::connect(nats_url).await.context("connect a producer")?);
    }
    let next = Arc::new(AtomicU64::new(0));
    let mut running = JoinSet::new();
    let started = Instant::now();
    for client in clients {
        let (way, next) = (way.clone(), next.clone());
        running.spawn(async move {
            let mut latency = Latency::new();
            while started.elapsed() < span {
                let body = body(next.fetch_add(1, Ordering::Relaxed));
                let sent = Instant::now();
                way.send(&client, body).await?;
                latency.record(sent.elapsed());
            }
            anyhow::Ok(latency)
        });
    }
    let mut total = Latency::new();
    while let Some(finished) = running.join_next().await {
        total.merge(&finished??);
    }
    total.took(started.elapsed());
    Ok(total)
}

impl Way {
    async fn send(&self, client: &Client, body: String) -> anyhow::Result<()> {
        let answer = match self {
            Self::Request(subject) => client.request(subject.clone(), body.into()).await?,
            Self::Durable(subject, outcomes) => {
                let id = Uuid::now_v7().to_string();
                let outcome = outcomes.of(&id);
                let mut headers = HeaderMap::new();
                headers.insert(COMMAND_ID, id.as_str());
                let queue = jetstream::new(client.clone());
                queue.publish_with_headers(subject.clone(), headers, body.into()).await?.await?;
                let outcome = tokio::time::timeout(PATIENCE, outcome).await;
                outcome.with_context(|| format!("no outcome of {id} in {PATIENCE:?}"))??
            }
        };
        let error = answer.headers.as_ref().and_then(|headers| headers.get("Nats-Service-Error"));
        ensure!(error.is_none(), "refused: {}", String::from_utf8_lossy(&answer.payload));
        Ok(())
    }
}

/// Outcomes that producers wait for, by the id of the command.
#[derive(Default)]
struct Outcomes(Mutex<HashMap<String, oneshot::Sender<Message>>>);

impl Outcomes {
    /// Follows all outcomes of the workspace, on a connection of its own.
    async fn follow(nats_url: &str, topology: &Topology) -> anyhow::Result<(Arc<Self>, JoinHandle<()>)> {
        let client = async_nats::connect(nats_url).await?;
        let subject = topology.command_result_subject(&Workspace::new(WORKSPACE)?, "*");
        let mut published = client.subscribe(subject).await?;
        client.flush().await?;
        let outcomes = Arc::new(Self::default());
        let found = outcomes.clone();
        let following = tokio::spawn(async move {
            while let Some(message) = published.next().await {
                let id = message.subject.rsplit('.').next().unwrap_or_default();
                let producer = found.lock().remove(id);
                if let Some(producer) = producer {
                    let _ = producer.send(message);
                }
            }
        });
        Ok((outcomes, following))
    }

    /// The outcome of a command that is about to be sent.
    fn of(&self, id: &str) -> oneshot::Receiver<Message> {
        let (sender, receiver) = oneshot::channel();
        self.lock().insert(id.to_owned(), sender);
        receiver
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, oneshot::Sender<Message>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
