//! Very many open tasks: what the product holds for them, and how soon it leads after a restart.

mod product;
mod seed;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use capstan_contract::TaskCodec;
use capstan_domain::task::Event;
use capstan_domain::task::event::{AttemptOutcome, RunCause};
use capstan_envelope::{Codec as _, Position};
use capstan_eventlog::{EventLog, JetStreamConfig, JetStreamLog, Selection};
use capstan_launcher::{Durability, LaunchConfig, Servers};
use capstan_projections::{ProjectorConfig, ReadModels, Which, rebuild};

use crate::bench::report::Sample;
use product::{Product, Start};
use seed::{Seeded, seed};

/// Longest wait until a product leads, and until all its timers have fired.
const PATIENCE: Duration = Duration::from_mins(15);
/// A lease no worker renews and that lasts longer than a measurement.
const LONG_LEASE_MS: u64 = 3_600_000;
/// The lease of a product as it is installed.
const LEASE_MS: u64 = 30_000;

/// The open tasks of a measurement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// Tasks: of ten, four are queued, two sleep, two wait for an answer and two run.
    pub(super) tasks: usize,
    /// Workspaces they belong to, with one agent each.
    pub(super) workspaces: usize,
    /// Length of a task's message in bytes.
    pub(super) bytes: usize,
}

/// Measures once, on fresh servers.
pub(super) async fn round(durability: Durability, size: Size) -> anyhow::Result<Vec<Sample>> {
    let folder = tempfile::Builder::new().prefix("capstan-bench-").tempdir()?;
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let launch = LaunchConfig { durability, ..LaunchConfig::new(folder.path().join("data")) };
    let servers = Servers::start(launch).await.context("start the servers")?;
    let log = JetStreamLog::connect(JetStreamConfig::new(servers.nats_url())).await?;
    let log: Arc<dyn EventLog> = Arc::new(log);
    let begun = Instant::now();
    let seeded = seed(&log, size).await.context("seed the log")?;
    tracing::info!(seconds = begun.elapsed().as_secs(), ?seeded, "seeded");
    let samples = measure(&servers, &log, folder.path(), seeded).await;
    servers.shutdown().await;
    samples
}

async fn measure(
    servers: &Servers,
    log: &Arc<dyn EventLog>,
    folder: &std::path::Path,
    seeded: Seeded,
) -> anyhow::Result<Vec<Sample>> {
    let read_models = ReadModels::connect(&servers.database_url())?;
    rebuild(log, &read_models, &Which::All, &ProjectorConfig::default()).await.context("fill the rows")?;
    drop(read_models);
    let mut samples = Vec::new();

    let end = log.head().await?;
    let start = Start { role: "all", lease_ms: LONG_LEASE_MS, logs: folder.join("rows.log") };
    let product = Product::start(servers, start, PATIENCE).await?;
    product.report("from the rows", &mut samples)?;
    let woken = |event: &Event| matches!(event, Event::RunRequested(run) if run.cause == RunCause::Wake);
    let fired = fired(log, end, seeded.due, woken).await?;
    samples.push(rate("from the rows: timers due at once", "timers/s", seeded.due, fired));
    product.report_peak("from the rows: all timers fired", &mut samples)?;
    product.kill().await?;

    let (client, connection) =
        tokio_postgres::connect(&servers.database_url(), tokio_postgres::NoTls).await?;
    let connection = tokio::spawn(connection);
    client.batch_execute("DROP SCHEMA capstan CASCADE").await.context("drop the tables")?;
    drop(client);
    connection.await??;

    // The projectors of the other roles would rebuild at the same time, on the same two processors.
    let end = log.head().await?;
    let start = Start { role: "engine", lease_ms: LEASE_MS, logs: folder.join("log.log") };
    let product = Product::start(servers, start, PATIENCE).await?;
    product.report("from the log", &mut samples)?;
    let lost =
        |event: &Event| matches!(event, Event::AttemptEnded(ended) if ended.outcome == AttemptOutcome::Lost);
    let fired = self::fired(log, end, seeded.running, lost).await?;
    samples.push(rate("from the log: leases that end at once", "leases/s", seeded.running, fired));
    product.report_peak("from the log: all leases ended", &mut samples)?;
    product.kill().await?;
    Ok(samples)
}

fn rate(name: &str, unit: &'static str, count: usize, elapsed: Duration) -> Sample {
    Sample::rate(name, unit, count as f64 / elapsed.as_secs_f64().max(f64::EPSILON))
}

/// Waits until the log holds so many of these events after a position. Leases of the measurement itself may end too.
async fn fired(
    log: &Arc<dyn EventLog>,
    after: Position,
    expected: usize,
    counts: impl Fn(&Event) -> bool,
) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let mut tail = log.tail(Selection::All, after).await?;
    let mut seen = 0;
    while seen < expected {
        let left = PATIENCE.saturating_sub(begun.elapsed());
        let batch = tokio::time::timeout(left, tail.next()).await;
        let batch = batch.with_context(|| format!("only {seen} of {expected} timers fired"))??;
        for recorded in &batch.commits {
            if recorded.commit.stream.category() == TaskCodec::CATEGORY {
                seen += TaskCodec::decode(&recorded.commit)?.iter().filter(|event| counts(event)).count();
            }
        }
    }
    Ok(begun.elapsed())
}
