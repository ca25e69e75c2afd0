//! Measures appends with and without group commit.
//!
//! `append_bench URL [SECONDS [PREFIX]]` against a server whose `sync_interval` is what the figures are about. Each
//! row is a closed loop: every writer waits for its acknowledgement before it decides again, each on streams of its
//! own. "single" sends every commit alone; "grouped" shares flushes as `durability: always` does.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use capstan_envelope::{Actor, Commit, CommitHash, CommitId, EventRecord, Metadata, Position, StreamId};
use capstan_eventlog::{DurabilityHint, EventLog, JetStreamConfig, JetStreamLog};
use uuid::Uuid;

/// Bytes of data in each commit's one event.
const DATA_BYTES: usize = 256;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "nats://127.0.0.1:4222".to_owned());
    let seconds: f64 = arguments.next().map_or(Ok(3.0), |text| text.parse())?;
    let prefix = arguments.next().unwrap_or_else(|| format!("bench{}", std::process::id()));
    println!("{:>8} {:>8} {:>10} {:>9} {:>9}", "writers", "route", "commits/s", "p50 ms", "p99 ms");
    for writers in [1, 2, 4, 8, 16, 32, 64, 256] {
        for (route, hint) in [("single", DurabilityHint::Interval), ("grouped", DurabilityHint::Always)] {
            let log = JetStreamLog::connect(JetStreamConfig {
                durability: hint,
                stream_prefix: Some(prefix.clone()),
                ..JetStreamConfig::new(url.as_str())
            })
            .await?;
            let figures = run(Arc::new(log), writers, Duration::from_secs_f64(seconds)).await?;
            let Figures { rate, p50, p99 } = figures;
            println!("{writers:>8} {route:>8} {rate:>10.0} {p50:>9.2} {p99:>9.2}");
        }
    }
    Ok(())
}

struct Figures {
    rate: f64,
    p50: f64,
    p99: f64,
}

async fn run(log: Arc<JetStreamLog>, writers: usize, duration: Duration) -> anyhow::Result<Figures> {
    let started = Instant::now();
    let running: Vec<_> = (0..writers)
        .map(|_| {
            let log = log.clone();
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                while started.elapsed() < duration {
                    let mut commit = first_commit();
                    // Ten commits per stream, as a short-lived task would have.
                    for _ in 0..10 {
                        let sent = Instant::now();
                        let appended = log.append(&commit).await?;
                        latencies.push(sent.elapsed());
                        commit.commit_id = CommitId(draw());
                        commit.version += 1;
                        commit.previous = appended.position;
                        commit.previous_hash = appended.hash;
                    }
                }
                anyhow::Ok(latencies)
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for writer in running {
        latencies.extend(writer.await??);
    }
    let rate = latencies.len() as f64 / started.elapsed().as_secs_f64();
    latencies.sort();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize].as_secs_f64() * 1_000.0;
    Ok(Figures { rate, p50: at(0.5), p99: at(0.99) })
}

fn draw() -> Uuid {
    static DRAWN: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let number = DRAWN.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let nanos = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
    Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{nanos}-{number}").as_bytes())
}

fn first_commit() -> Commit {
    let id = draw();
    Commit {
        commit_id: CommitId(id),
        stream: format!("bench/task/{id}").parse::<StreamId>().expect("a uuid is a name"),
        version: 1,
        previous: Position::START,
        previous_hash: CommitHash::NONE,
        metadata: Metadata {
            occurred_at: chrono::DateTime::UNIX_EPOCH,
            actor: Actor::System,
            command: "bench".to_owned(),
            correlation_id: id,
            causation_id: None,
            traceparent: None,
            idempotency: None,
        },
        events: vec![EventRecord {
            name: "bench-noted".to_owned(),
            version: 1,
            data: serde_json::value::to_raw_value(&"x".repeat(DATA_BYTES)).expect("text is JSON"),
        }],
    }
}
