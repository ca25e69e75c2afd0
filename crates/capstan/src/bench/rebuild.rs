//! Read models from the log: rebuilt from scratch, and followed live.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use capstan_eventlog::{EventLog, JetStreamConfig, JetStreamLog};
use capstan_launcher::{Durability, Servers};
use capstan_projections::{Projector, ProjectorConfig, ReadModels};
use procfs::process::Process;
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::process::Command as Program;

use crate::bench::bed;
use crate::bench::filler::{EVENTS_PER_TASK, Filler};
use crate::bench::limits;
use crate::bench::report::Sample;

/// Interval of looks at the memory of a child.
const LOOK: Duration = Duration::from_millis(20);

/// One round on servers of its own: fill the log, follow it live, rebuild and verify in a process of their own.
pub(super) async fn round(
    durability: Durability,
    tasks: usize,
    memory_mb: u32,
) -> anyhow::Result<Vec<Sample>> {
    let (_folder, servers) = bed::servers(durability).await?;
    let samples = measure(&servers, tasks, memory_mb).await;
    servers.shutdown().await;
    samples
}

async fn measure(servers: &Servers, tasks: usize, memory_mb: u32) -> anyhow::Result<Vec<Sample>> {
    let config = JetStreamConfig {
        monitor_url: Some(servers.nats_monitor_url()),
        ..JetStreamConfig::new(servers.nats_url())
    };
    let log: Arc<dyn EventLog> = Arc::new(JetStreamLog::connect(config).await?);
    Filler::begin(&log).await?.fill(0..tasks).await.context("fill the log")?;
    let events = tasks as f64 * EVENTS_PER_TASK;
    let read = ordered_read(&log).await?;

    let read_models = ReadModels::connect(&servers.database_url())?;
    read_models.migrate().await?;
    let end = log.head().await?;
    let started = Instant::now();
    let projector = Projector::start(log.clone(), read_models.clone(), ProjectorConfig::default());
    read_models.wait_for(end, Duration::from_hours(2)).await?;
    let live = events / started.elapsed().as_secs_f64();
    projector.stop().await;
    let before = read_models.digests().await?;

    let (rebuilt, rebuild_memory) = child(servers, memory_mb, &["rebuild", "--all"]).await?;
    anyhow::ensure!(read_models.digests().await? == before, "the rebuilt rows differ from the live ones");
    let started = Instant::now();
    let (verified, verify_memory) = child(servers, memory_mb, &["verify"]).await?;
    let verify_seconds = started.elapsed().as_secs_f64();
    let seconds = |name: &str| rebuilt[name].as_f64().context("a time in the report");
    let rows = verified["rows"].as_u64().context("rows in the report")?;
    let copy = limits::copy_rows(&servers.database_url(), usize::try_from(rows)?).await?;

    let raw_read = Sample::rate("raw ordered read, decoded to commits", "events/s", read * events);
    let raw_copy = Sample::rate("raw COPY of as many rows", "events/s", copy / rows as f64 * events);
    let mut samples = vec![
        Sample::rate("rebuild from scratch", "events/s", events / seconds("seconds")?).against(&raw_copy),
        Sample::rate("live projection, catching up", "events/s", live).against(&raw_copy),
        Sample::rate("verification", "events/s", events / verify_seconds),
    ];
    for name in ["read_seconds", "fold_seconds", "index_seconds"] {
        let step = name.trim_end_matches("_seconds");
        samples.push(Sample::rate(format!("rebuild, step {step}"), "ms", seconds(name)? * 1e3));
    }
    let spilled = rebuilt["spilled_bytes"].as_f64().context("bytes in the report")? / 1e6;
    samples.extend([
        Sample::rate("rebuild, put aside on disk", "MB", spilled),
        Sample::rate("rebuild, peak memory of its process", "MB", rebuild_memory as f64 / 1e3),
        Sample::rate("verification, peak memory of its process", "MB", verify_memory as f64 / 1e3),
        raw_read,
        raw_copy,
    ]);
    Ok(samples)
}

/// Runs `capstan projection` in a process of its own; returns its report and its peak memory in kB.
async fn child(servers: &Servers, memory_mb: u32, action: &[&str]) -> anyhow::Result<(Value, u64)> {
    let mut child = Program::new(std::env::current_exe()?)
        .arg("projection")
        .args(action)
        .args(["--output", "json", "--memory-mb", &memory_mb.to_string()])
        .args(["--database-url", &servers.database_url(), "--nats-url", &servers.nats_url()])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let process = child.id().and_then(|id| Process::new(id.try_into().ok()?).ok()).context("a child")?;
    let mut output = child.stdout.take().context("the output of a child")?;
    let (mut report, mut peak) = (String::new(), 0);
    let mut reading = std::pin::pin!(output.read_to_string(&mut report));
    // The kernel keeps the peak, and forgets it with the process.
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            read = &mut reading => {
                read?;
                break;
            }
            _ = look.tick() => {
                let status = process.status().ok();
                peak = status.and_then(|status| status.vmhwm).unwrap_or(peak).max(peak);
            }
        }
    }
    anyhow::ensure!(child.wait().await?.success(), "capstan projection {action:?} failed");
    Ok((serde_json::from_str(&report)?, peak))
}

/// Reads the whole log once; answers the share of it read per second.
async fn ordered_read(log: &Arc<dyn EventLog>) -> anyhow::Result<f64> {
    let started = Instant::now();
    let mut tail = log.tail(capstan_eventlog::Selection::All, capstan_envelope::Position::START).await?;
    while !tail.next().await?.caught_up {}
    Ok(1.0 / started.elapsed().as_secs_f64())
}
