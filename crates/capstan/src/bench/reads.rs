//! The documented reads of very many tasks: pages, filters, counts, statistics and searches, over HTTP.

mod cases;
mod seed;

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, ensure};
use capstan_eventlog::{EventLog, JetStreamConfig, JetStreamLog};
use capstan_launcher::{Durability, Servers};
use capstan_projections::{ProjectorConfig, ReadModels, Which, rebuild};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::bench::bed;
use crate::bench::http_load::Connection;
use crate::bench::report::{Latency, Sample};
use crate::composition::{Node, NodeConfig};
use cases::{Case, cases};
use seed::{Seeded, seed};

/// Reads of a kind before those that are measured: they prepare statements and warm caches.
const WARM_UPS: usize = 10;
/// The page of the list that is read for the kind "a later page".
const LATER_PAGE: usize = 10;

/// What is read, and how often.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// Tasks: of ten, seven are done, one has failed, one waits for an answer and one is queued.
    pub(super) tasks: usize,
    /// Workspaces they belong to: half of them to the first.
    pub(super) workspaces: usize,
    /// Reads of each kind.
    pub(super) reads: usize,
}

/// Measures once, on fresh servers.
pub(super) async fn round(durability: Durability, size: Size) -> anyhow::Result<Vec<Sample>> {
    ensure!(
        size.workspaces > 1 && size.tasks >= 20 * size.workspaces,
        "at least 2 workspaces of 20 tasks each"
    );
    let (_folder, servers) = bed::servers(durability).await?;
    let samples = measure(&servers, size).await;
    servers.shutdown().await;
    samples
}

async fn measure(servers: &Servers, size: Size) -> anyhow::Result<Vec<Sample>> {
    let log: Arc<dyn EventLog> =
        Arc::new(JetStreamLog::connect(JetStreamConfig::new(servers.nats_url())).await?);
    let begun = Instant::now();
    let seeded = seed(&log, size).await.context("seed the log")?;
    tracing::info!(seconds = begun.elapsed().as_secs(), commits = seeded.commits, "seeded");
    let read_models = ReadModels::connect(&servers.database_url())?;
    let report = rebuild(&log, &read_models, &Which::All, &ProjectorConfig::default()).await;
    let report = report.context("fill the rows")?;
    tracing::info!(seconds = report.seconds, rows = report.rows, "filled");
    drop((log, read_models));
    let stop = CancellationToken::new();
    let config = NodeConfig::new(servers.nats_url(), servers.database_url());
    let node = Node::start(config, stop.clone()).await?;
    let samples = read_all(&node, size, &seeded).await;
    stop.cancel();
    node.stopped().await?;
    samples
}

async fn read_all(node: &Node, size: Size, seeded: &Seeded) -> anyhow::Result<Vec<Sample>> {
    let mut connection = Connection::open(&node.address().to_string()).await?;
    let later = later_page(&mut connection, &seeded.large).await?;
    let mut samples = Vec::new();
    for Case { name, path, has_hits } in cases(seeded, &later) {
        let mut latency = Latency::new();
        let mut begun = Instant::now();
        for number in 0..WARM_UPS + size.reads {
            if number == WARM_UPS {
                begun = Instant::now();
            }
            let path = format!("/v1/workspaces/{}", path(number));
            let sent = Instant::now();
            let answer = connection.get(&path).await?;
            let elapsed = sent.elapsed();
            ensure!(answer.status == 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
            if number >= WARM_UPS {
                latency.record(elapsed);
            }
            if number == 0
                && let Some(has_hits) = has_hits
            {
                let body: Value = serde_json::from_slice(&answer.body)?;
                let items = body["items"].as_array().with_context(|| format!("{path} is no list"))?;
                ensure!(items.is_empty() != has_hits, "{path} has {} items", items.len());
            }
        }
        latency.took(begun.elapsed());
        let name = format!("{name} (n {})", latency.count());
        tracing::info!(name, p50_ms = latency.millis_at(0.5), p99_ms = latency.millis_at(0.99), "read");
        samples.push(Sample::latency(name, "reads/s", &latency));
    }
    Ok(samples)
}

/// The query of a page behind others.
async fn later_page(connection: &mut Connection, workspace: &str) -> anyhow::Result<String> {
    let mut query = String::new();
    for _ in 1..LATER_PAGE {
        let answer = connection.get(&format!("/v1/workspaces/{workspace}/tasks?{query}")).await?;
        let body: Value = serde_json::from_slice(&answer.body)?;
        let Some(cursor) = body["next_cursor"].as_str() else { break };
        query = format!("cursor={cursor}");
    }
    Ok(query)
}
