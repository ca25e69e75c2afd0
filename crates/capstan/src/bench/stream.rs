//! nats-server alone on one log of very many subjects: disk, memory, restarts, publishing, consumers and reads.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use async_nats::jetstream::{self, consumer};
use bytes::Bytes;
use capstan_envelope::{StreamId, Workspace};
use capstan_eventlog::{JetStreamConfig, JetStreamLog, Topology};
use capstan_launcher::{Durability, Servers};
use futures_util::StreamExt;
use procfs::process::Process;

use crate::bench::bed;
use crate::bench::filler::task_id;
use crate::bench::limits::RawLog;
use crate::bench::report::{Latency, Sample};

/// Bytes of a commit, so that a task with three takes what it does in `capstan bench cost`.
const COMMIT_BYTES: usize = 540;
/// Subjects written together: first the first commits of all of them, then the second ones. Tasks end soon after they begin.
const WINDOW: usize = 1_000;
/// Most subjects of a measurement, some 60 GB.
pub(super) const SUBJECTS_MAX: usize = 30_000_000;
/// Producers at the rate that is measured.
const PRODUCERS: usize = 64;
/// Subjects that are read, one after another.
const READS: usize = 1_000;
/// A prime beyond any number of subjects: its multiples scatter over them.
const SCATTER: usize = 2_654_435_761;
/// Longest time the server may take to answer after a restart.
const PATIENCE: Duration = Duration::from_mins(10);

/// The log of a measurement.
#[derive(Clone, Debug)]
pub(super) struct Size {
    /// Numbers of subjects, growing.
    pub(super) subjects: Vec<usize>,
    /// Commits of each.
    pub(super) commits: usize,
}

/// One round on servers of its own: for each number of subjects the log is filled up to it and measured.
pub(super) async fn round(durability: Durability, size: &Size, seconds: u64) -> anyhow::Result<Vec<Sample>> {
    let (folder, servers) = bed::servers(durability).await?;
    let measured = measure(&servers, folder.path(), size, seconds).await;
    servers.shutdown().await;
    measured
}

async fn measure(
    servers: &Servers,
    folder: &std::path::Path,
    size: &Size,
    seconds: u64,
) -> anyhow::Result<Vec<Sample>> {
    // The product creates the stream with its settings; nothing else of it takes part.
    drop(JetStreamLog::connect(JetStreamConfig::new(servers.nats_url())).await?);
    let mut samples = Vec::new();
    let mut written = 0;
    for &subjects in &size.subjects {
        ensure!(
            (written + 1..=SUBJECTS_MAX).contains(&subjects),
            "sizes grow, up to {SUBJECTS_MAX} subjects"
        );
        let begun = Instant::now();
        fill(servers, written..subjects, size.commits).await.context("fill the log")?;
        let commits = (subjects - written) * size.commits;
        let rate = commits as f64 / begun.elapsed().as_secs_f64();
        tracing::info!(subjects, rate, "filled");
        samples.push(Sample::rate(format!("{subjects} subjects: filled by one producer"), "commits/s", rate));
        written = subjects;
        at(servers, folder, subjects, seconds, &mut samples).await?;
    }
    Ok(samples)
}

/// Measures a log of so many subjects.
async fn at(
    servers: &Servers,
    folder: &std::path::Path,
    subjects: usize,
    seconds: u64,
    samples: &mut Vec<Sample>,
) -> anyhow::Result<()> {
    let mut report = |name: &str, unit: &'static str, value: f64| {
        samples.push(Sample::rate(format!("{subjects} subjects: {name}"), unit, value));
    };
    report("bytes on disk", "MB", bytes_below(folder)? as f64 / 1e6);
    report("memory after filling", "MB", resident_mb(servers)?);
    let span = Duration::from_secs(seconds);
    let lead = format!("capstan.evt.bench{subjects}.task");
    let raw = Arc::new(RawLog::open(&servers.nats_url(), &events_stream()?, &lead).await?);
    let publish = raw.publish(PRODUCERS, span).await?;
    report("publish, 64 producers", "commits/s", publish.rate());
    report("publish, 64 producers, p99", "ms", publish.millis_at(0.99));
    drop(raw);
    for (name, subject) in
        [("one subject", subject(subjects / 2)?), ("one workspace", "capstan.evt.dev.>".to_owned())]
    {
        let (created, first) = consumer(servers, subject).await?;
        report(&format!("consumer of {name}, creation"), "ms", created);
        report(&format!("consumer of {name}, first commit after that"), "ms", first);
    }
    let reads = last_commits(servers, subjects).await?;
    report("last commit of a subject, p50", "ms", reads.millis_at(0.5));
    report("last commit of a subject, p99", "ms", reads.millis_at(0.99));

    let begun = Instant::now();
    servers.stop_nats().await;
    report("clean stop", "ms", millis(begun));
    let begun = Instant::now();
    servers.resume_nats().await.context("start after a clean stop")?;
    answered(servers).await?;
    report("start after a clean stop", "ms", millis(begun));
    report("memory after a clean start", "MB", resident_mb(servers)?);
    let begun = Instant::now();
    servers.kill_nats().await;
    answered(servers).await?;
    report("from kill -9 to an answer", "ms", millis(begun));
    report("memory after a kill", "MB", resident_mb(servers)?);
    Ok(())
}

/// Writes the subjects with these numbers, a window after another. Only the last commit of a window is acknowledged: a
/// stream takes the messages of one connection in their order.
async fn fill(servers: &Servers, numbers: Range<usize>, commits: usize) -> anyhow::Result<()> {
    let context = context(servers).await?;
    let client = async_nats::connect(servers.nats_url()).await?;
    let before = context.get_stream(events_stream()?).await?.cached_info().state.messages;
    let payload = Bytes::from(vec![b'x'; COMMIT_BYTES]);
    let publisher = jetstream::new(client.clone());
    for first in numbers.clone().step_by(WINDOW) {
        let window = first..numbers.end.min(first + WINDOW);
        let subjects: Vec<String> = window.map(subject).collect::<anyhow::Result<_>>()?;
        let (last_subject, others) = subjects.split_last().context("an empty window")?;
        for _ in 0..commits {
            for subject in others {
                client.publish(subject.clone(), payload.clone()).await?;
            }
            publisher.publish(last_subject.clone(), payload.clone()).await?.await?;
        }
    }
    let stored = context.get_stream(events_stream()?).await?.cached_info().state.messages - before;
    ensure!(stored == (numbers.len() * commits) as u64, "the server stored {stored} commits only");
    Ok(())
}

/// Creates a consumer as readers of the product do and reads one commit; the time of each in ms.
async fn consumer(servers: &Servers, subject: String) -> anyhow::Result<(f64, f64)> {
    let stream = context(servers).await?.get_stream(events_stream()?).await?;
    let begun = Instant::now();
    let consumer = stream
        .create_consumer(consumer::pull::Config {
            ack_policy: consumer::AckPolicy::None,
            filter_subject: subject,
            inactive_threshold: Duration::from_secs(30),
            memory_storage: true,
            ..consumer::pull::Config::default()
        })
        .await?;
    let created = millis(begun);
    let begun = Instant::now();
    let mut messages = consumer.stream().max_messages_per_batch(1).messages().await?;
    messages.next().await.context("the consumer ended early")??;
    Ok((created, millis(begun)))
}

/// Reads the last commit of subjects scattered over the log.
async fn last_commits(servers: &Servers, subjects: usize) -> anyhow::Result<Latency> {
    let stream = context(servers).await?.get_stream(events_stream()?).await?;
    let mut latency = Latency::new();
    for place in 0..READS.min(subjects) {
        let begun = Instant::now();
        stream.direct_get_last_for_subject(subject(place * SCATTER % subjects)?).await?;
        latency.record(begun.elapsed());
    }
    Ok(latency)
}

/// Waits until the log is open again.
async fn answered(servers: &Servers) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        servers.wait_until_up().await;
        if let Ok(context) = context(servers).await
            && context.get_stream(events_stream()?).await.is_ok()
        {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "nats-server did not answer within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn context(servers: &Servers) -> anyhow::Result<jetstream::Context> {
    let mut context = jetstream::new(async_nats::connect(servers.nats_url()).await?);
    context.set_timeout(PATIENCE);
    Ok(context)
}

fn events_stream() -> anyhow::Result<String> {
    Ok(Topology::new(None)?.events_stream())
}

fn subject(number: usize) -> anyhow::Result<String> {
    let stream = StreamId::new(Workspace::new("dev")?, "task", &task_id(number).to_string())?;
    Ok(Topology::new(None)?.event_subject(&stream))
}

fn resident_mb(servers: &Servers) -> anyhow::Result<f64> {
    let pid = servers.nats_pid().context("nats-server is down")?;
    let status = Process::new(pid.try_into()?)?.status()?;
    Ok(status.vmrss.unwrap_or_default() as f64 * 1024.0 / 1e6)
}

/// Bytes of the files below the folder of nats-server's store.
fn bytes_below(folder: &std::path::Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    let mut folders = vec![folder.join("data/nats")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                bytes += metadata.len();
            }
        }
    }
    Ok(bytes)
}

fn millis(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1000.0
}
