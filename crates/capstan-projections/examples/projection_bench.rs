//! Throughput of the live projection and of a rebuild, compared with a COPY of the same rows into the same tables.
//!
//! `cargo run --release -p capstan-projections --example projection_bench [TASKS] [IN_FLIGHT]` starts its own Postgres.
//! Each task is 5 commits with 9 events and a message of 512 bytes; `IN_FLIGHT` tasks interleave.

use std::time::Instant;

use anyhow::Context;
use capstan_projections::{MODELS, Projector, ProjectorConfig, ReadModels, Which, rebuild};
use capstan_testkit::servers::TestServers;
use futures_util::{SinkExt, TryStreamExt};

#[path = "../tests/projections/story.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "shared with the tests, which need more of it"
)]
mod story;

const ROUNDS: usize = 3;
/// Tasks accepted per second while the projector follows.
const STEADY_RATE: f64 = 3_000.0;
/// Duration of that load, in seconds.
const STEADY_SECONDS: f64 = 3.0;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: usize| arguments.next().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (tasks, in_flight) = (number(20_000), number(1_000));
    let story = history(tasks, in_flight).await;
    let log = story.shared();
    let end = story.end().await;
    let events = tasks as f64 * 9.0;
    say(&format!("{tasks} tasks, {in_flight} in flight, {} commits, {events} events", end.sequence()));
    let servers = TestServers::start().await?;
    let (mut live, mut again, mut copy) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let address = servers.fresh_database().await?;
        let read_models = ReadModels::connect(&address)?;
        read_models.migrate().await?;
        let (started, busy) = (Instant::now(), cpu_seconds());
        let projector = Projector::start(log.clone(), read_models.clone(), ProjectorConfig::default());
        read_models.wait_for(end, std::time::Duration::from_mins(10)).await?;
        live.push(events / started.elapsed().as_secs_f64());
        let live_busy = cpu_seconds() - busy;
        projector.stop().await;
        let before = read_models.digests().await?;
        let busy = cpu_seconds();
        let report = rebuild(&log, &read_models, &Which::All, &ProjectorConfig::default()).await?;
        again.push(events / report.seconds);
        let rebuild_busy = cpu_seconds() - busy;
        anyhow::ensure!(read_models.digests().await? == before, "the rebuild differs from the live rows");
        let (rows, seconds) = raw_copy(&address).await.context("copy the rows")?;
        copy.push(rows / seconds);
        say(&format!(
            "round {round}: live {:.0} events/s, rebuild {:.0} events/s (read {:.2} s, fold {:.2} s, indexes {:.2} s, \
             all {:.2} s, {} rows), own CPU {live_busy:.2} s and {rebuild_busy:.2} s, raw COPY {:.0} rows/s ({seconds:.2} s)",
            live[round],
            again[round],
            report.read_seconds,
            report.fold_seconds,
            report.index_seconds,
            report.seconds,
            report.rows,
            copy[round],
        ));
    }
    steady(&servers).await?;
    let rows_per_event = median(&copy);
    say(&format!(
        "medians: live {:.0} events/s, rebuild {:.0} events/s, raw COPY {rows_per_event:.0} rows/s",
        median(&live),
        median(&again)
    ));
    Ok(())
}

/// Cost of a commit for a projector that is not behind: tasks are accepted at a steady rate. The story runs on this
/// thread, the projector on the others.
async fn steady(servers: &TestServers) -> anyhow::Result<()> {
    let mut story = story::Story::begin(8).await;
    story.message_bytes = 512;
    let read_models = ReadModels::connect(&servers.fresh_database().await?)?;
    read_models.migrate().await?;
    let projector = Projector::start(story.shared(), read_models.clone(), ProjectorConfig::default());
    read_models.wait_for(story.end().await, std::time::Duration::from_mins(1)).await?;
    let others = || cpu_seconds_of("/proc/self/stat") - cpu_seconds_of("/proc/thread-self/stat");
    let (started, busy, mut accepted) = (Instant::now(), others(), 0.0);
    while started.elapsed().as_secs_f64() < STEADY_SECONDS {
        while accepted < started.elapsed().as_secs_f64() * STEADY_RATE {
            story.accept(|_| {}).await;
            accepted += 1.0;
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let loaded = started.elapsed();
    read_models.wait_for(story.end().await, std::time::Duration::from_mins(1)).await?;
    say(&format!(
        "steady: {:.0} commits/s of 2 events, {:.1} us of own CPU a commit, {:.1} ms behind at the end",
        accepted / loaded.as_secs_f64(),
        (others() - busy) * 1e6 / accepted,
        started.elapsed().saturating_sub(loaded).as_secs_f64() * 1e3
    ));
    projector.stop().await;
    Ok(())
}

async fn history(tasks: usize, in_flight: usize) -> story::Story {
    let mut story = story::Story::begin(7).await;
    story.message_bytes = 512;
    // A sliding window of tasks: steps of the oldest interleave with first steps of the newest.
    let mut steps: std::collections::VecDeque<(usize, u32)> = std::collections::VecDeque::new();
    let mut made = 0;
    while made < tasks || !steps.is_empty() {
        if made < tasks && steps.len() < in_flight {
            let index = story.accept(|_| {}).await;
            steps.push_back((index, 0));
            made += 1;
            continue;
        }
        let Some((index, step)) = steps.pop_front() else { break };
        story.lifecycle_step(index, step).await;
        if step < 3 {
            steps.push_back((index, step + 1));
        }
    }
    story
}

/// Reads all rows back and copies them into tables without indexes, concurrently. Returns rows and seconds of the copy.
async fn raw_copy(address: &str) -> anyhow::Result<(f64, f64)> {
    let (client, connection) = tokio_postgres::connect(address, tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    client.batch_execute("DROP SCHEMA IF EXISTS raw CASCADE; CREATE SCHEMA raw").await?;
    let (mut rows, mut chunks) = (0.0, Vec::new());
    for model in MODELS.iter().map(|model| model.name) {
        client
            .batch_execute(&format!("CREATE TABLE raw.{model} AS SELECT * FROM capstan.{model} LIMIT 0"))
            .await?;
        let out = client.copy_out(&format!("COPY (SELECT * FROM capstan.{model}) TO STDOUT BINARY")).await?;
        chunks.push((model, out.try_collect::<Vec<bytes::Bytes>>().await?));
        let counted = client.query_one(&format!("SELECT count(*)::float8 FROM capstan.{model}"), &[]).await?;
        rows += counted.get::<_, f64>(0);
    }
    let started = Instant::now();
    let copies = chunks.into_iter().map(|(model, chunks)| {
        let address = address.to_owned();
        tokio::spawn(async move {
            let (client, connection) = tokio_postgres::connect(&address, tokio_postgres::NoTls).await?;
            tokio::spawn(connection);
            client.batch_execute("SET synchronous_commit = off").await?;
            let sink =
                client.copy_in::<_, bytes::Bytes>(&format!("COPY raw.{model} FROM STDIN BINARY")).await?;
            let mut sink = std::pin::pin!(sink);
            // Large messages instead of one for each row.
            let mut buffer = bytes::BytesMut::new();
            for chunk in chunks {
                buffer.extend_from_slice(&chunk);
                if buffer.len() > 65_536 {
                    sink.send(buffer.split().freeze()).await?;
                }
            }
            sink.send(buffer.freeze()).await?;
            sink.finish().await
        })
    });
    for copied in futures_util::future::try_join_all(copies).await? {
        copied?;
    }
    Ok((rows, started.elapsed().as_secs_f64()))
}

/// CPU seconds of this process, without Postgres.
fn cpu_seconds() -> f64 {
    cpu_seconds_of("/proc/self/stat")
}

fn cpu_seconds_of(path: &str) -> f64 {
    let stat = std::fs::read_to_string(path).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: f64 = [11, 12].iter().filter_map(|at| fields.get(*at)?.parse::<f64>().ok()).sum();
    ticks / 100.0
}

fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn say(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{line}");
}
