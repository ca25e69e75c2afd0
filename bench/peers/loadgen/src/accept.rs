//! Submissions that are acknowledged. Nobody waits for their results.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinSet;

use crate::latency::Latency;
use crate::request::Request;

/// Runs `clients` for the warm-up and the measured span.
pub(crate) async fn run(
    request: &Request,
    clients: usize,
    warm_up: Duration,
    span: Duration,
) -> anyhow::Result<Value> {
    let next = Arc::new(AtomicU64::new(0));
    let from = Instant::now() + warm_up;
    let until = from + span;
    let mut running = JoinSet::new();
    for _ in 0..clients {
        let (request, next) = (request.clone(), next.clone());
        running.spawn(async move {
            let mut connection = request.connect().await?;
            let mut latency = Latency::new();
            loop {
                let sent = Instant::now();
                if sent >= until {
                    return anyhow::Ok(latency);
                }
                request.submit(&mut connection, next.fetch_add(1, Ordering::Relaxed)).await?;
                let answered = Instant::now();
                if sent >= from && answered <= until {
                    latency.record(answered - sent);
                }
            }
        });
    }
    let mut all = Latency::new();
    while let Some(ended) = running.join_next().await {
        all.merge(&ended??);
    }
    Ok(all.line(span, next.load(Ordering::Relaxed)))
}
