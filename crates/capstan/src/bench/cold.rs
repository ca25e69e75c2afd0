//! Follow-ups to random tasks that no process has in memory, while the log grows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use capstan_eventlog::{EventLog, JetStreamConfig, JetStreamLog};
use capstan_launcher::{Durability, Servers};
use capstan_projections::ReadModels;
use tokio_util::sync::CancellationToken;

use crate::bench::bed;
use crate::bench::filler::{EVENTS_PER_TASK, Filler, task_id};
use crate::bench::http_load::Connection;
use crate::bench::report::{Latency, Sample};
use crate::composition::{Node, NodeConfig};

/// Follow-ups measured at each size of the log, one after another.
const FOLLOW_UPS: usize = 2_000;
/// Follow-ups before them, which open connections and prepare statements.
const WARM_UPS: usize = 100;
/// A prime beyond any number of tasks: its multiples scatter over them, each once.
const SCATTER: usize = 2_654_435_761;
/// Longest time the read models may take to catch up.
const PATIENCE: Duration = Duration::from_hours(1);

/// One round: for each number of finished tasks, a node that starts with empty memory.
pub(super) async fn round(durability: Durability, sizes: &[usize]) -> anyhow::Result<Vec<Sample>> {
    let (_folder, servers) = bed::servers(durability).await?;
    let samples = measure(&servers, sizes).await;
    servers.shutdown().await;
    samples
}

async fn measure(servers: &Servers, sizes: &[usize]) -> anyhow::Result<Vec<Sample>> {
    let log: Arc<dyn EventLog> =
        Arc::new(JetStreamLog::connect(JetStreamConfig::new(servers.nats_url())).await?);
    let filler = Filler::begin(&log).await?;
    let mut samples: Vec<Sample> = Vec::new();
    let mut written = 0;
    for &tasks in sizes {
        ensure!(tasks > written && tasks >= 2 * (FOLLOW_UPS + WARM_UPS), "sizes grow, from 4,200 tasks on");
        filler.fill(written..tasks).await.context("fill the log")?;
        written = tasks;
        let stop = CancellationToken::new();
        let started = Instant::now();
        let node =
            Node::start(NodeConfig::new(servers.nats_url(), servers.database_url()), stop.clone()).await?;
        let start = started.elapsed();
        node.ensure_development_workspace().await?;
        let head = log.head().await?;
        ReadModels::connect(&servers.database_url())?.wait_for(head, PATIENCE).await?;
        let latency = follow_ups(&node, tasks).await;
        stop.cancel();
        node.stopped().await?;
        let events = tasks as f64 * EVENTS_PER_TASK;
        let sample = Sample::latency(format!("cold follow-up, {events:.0} events"), "commands/s", &latency?);
        samples.push(match samples.first() {
            Some(smallest) => sample.against(smallest),
            None => sample,
        });
        samples.push(Sample::rate(format!("start, {events:.0} events"), "ms", start.as_secs_f64() * 1e3));
    }
    Ok(samples)
}

async fn follow_ups(node: &Node, tasks: usize) -> anyhow::Result<Latency> {
    let mut connection = Connection::open(&node.address().to_string()).await?;
    let mut latency = Latency::new();
    let began = Instant::now();
    for place in 0..WARM_UPS + FOLLOW_UPS {
        let path = format!("/v1/workspaces/dev/tasks/{}/input", task_id(place * SCATTER % tasks));
        let sent = Instant::now();
        let answer = connection.post(&path, r#"{"message":"go on"}"#).await?;
        // Tasks that were followed up at a smaller size are open again, and take the input too.
        ensure!(answer.status == 202, "status {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
        if place >= WARM_UPS {
            latency.record(sent.elapsed());
        }
    }
    latency.took(began.elapsed());
    Ok(latency)
}
