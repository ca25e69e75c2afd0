//! Measures a command until its task is finished, with a worker that does nothing: the cost of the control plane alone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use capstan_client::{Client, ClientConfig, StreamOptions, SubscribeWorkspaceLive};
use capstan_worker::{NoopRunner, Worker, WorkerConfig};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::bench::bed::Bed;
use crate::bench::http_load::Connection;
use crate::bench::limits::RawLog;
use crate::bench::report::{Latency, Sample};

/// Commits one task costs from acceptance to its end: accepted, leased, settled.
const COMMITS_PER_TASK: f64 = 3.0;

/// One round: the raw limit, then tasks through HTTP, the engine and a no-op worker.
pub(super) async fn round(
    bed: &Bed,
    number: usize,
    tasks: usize,
    seconds: u64,
) -> anyhow::Result<Vec<Sample>> {
    let raw = Arc::new(RawLog::create(&bed.nats_url(), &format!("E2E{number}")).await?);
    let publish = raw.publish(64, Duration::from_secs(seconds)).await?;
    let limit = Sample::rate(
        format!("raw publish, 64 clients, {COMMITS_PER_TASK} commits a task"),
        "tasks/s",
        publish.rate() / COMMITS_PER_TASK,
    );
    let (stop, worker) = start_worker(bed, 256)?;
    let burst = burst(bed, tasks, 64).await?;
    let single = one_after_another(bed, 50).await?;
    stop.cancel();
    worker.await??;
    bed.settled().await?;
    Ok(vec![
        Sample::latency("e2e, burst from 64 clients", "tasks/s", &burst).against(&limit),
        Sample::latency("e2e, one after another", "tasks/s", &single),
        limit,
    ])
}

type Running = tokio::task::JoinHandle<anyhow::Result<()>>;

fn start_worker(bed: &Bed, slots: usize) -> anyhow::Result<(CancellationToken, Running)> {
    let stop = CancellationToken::new();
    let config = WorkerConfig { slots, ..WorkerConfig::new(ClientConfig::new(bed.url())) };
    let worker = Worker::new(config, Arc::new(NoopRunner))?;
    let stopping = stop.clone();
    let handle = tokio::spawn(async move { worker.run(stopping).await.context("run the worker") });
    Ok((stop, handle))
}

/// Submits `tasks` commands from `clients` connections and waits for every end; latency is from submission to the
/// event that ends the task.
async fn burst(bed: &Bed, tasks: usize, clients: usize) -> anyhow::Result<Latency> {
    let client = Client::new(&ClientConfig::new(bed.url()))?;
    let mut events = client.follow(&SubscribeWorkspaceLive {}, StreamOptions::after(bed.head().await?))?;
    let started = Instant::now();
    let mut submitting = tokio::task::JoinSet::new();
    for part in 0..clients {
        let host = bed.host();
        let count = tasks / clients + usize::from(part < tasks % clients);
        submitting.spawn(async move {
            let mut connection = Connection::open(&host).await?;
            let mut sent = Vec::with_capacity(count);
            for number in 0..count {
                // One lane per client, since tasks of one class run one after another.
                let body =
                    format!(r#"{{"agent_id":"demo","message":"bench","lane":"{part}-{}"}}"#, number % 8);
                let at = Instant::now();
                let answer = connection.post("/v1/workspaces/dev/tasks", &body).await?;
                if answer.status != 202 {
                    bail!("status {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
                }
                let answer: Value = serde_json::from_slice(&answer.body)?;
                sent.push((answer["task"]["id"].as_str().context("a task id")?.to_owned(), at));
            }
            Ok(sent)
        });
    }
    let mut ends = std::collections::HashMap::with_capacity(tasks);
    while ends.len() < tasks {
        let event = events.next().await.context("the stream ended early")??;
        match event.event.as_str() {
            "task-done" => {
                let data: Value = event.json()?;
                ends.insert(data["id"].as_str().context("an entity id")?.to_owned(), Instant::now());
            }
            "task-failed" | "task-dropped" | "gap" => bail!("unexpected {}: {}", event.event, event.data),
            _ => {}
        }
    }
    let mut latency = Latency::new();
    while let Some(sent) = submitting.join_next().await {
        for (id, at) in sent?? {
            let end = ends.get(&id).with_context(|| format!("task {id} has no end"))?;
            latency.record(end.saturating_duration_since(at));
        }
    }
    latency.took(started.elapsed());
    Ok(latency)
}

/// One task at a time: the latency without contention.
async fn one_after_another(bed: &Bed, tasks: usize) -> anyhow::Result<Latency> {
    let mut latency = Latency::new();
    let started = Instant::now();
    for _ in 0..tasks {
        latency.merge(&burst(bed, 1, 1).await?);
    }
    latency.took(started.elapsed());
    Ok(latency)
}
