//! Many submissions at once. The clock stops when the result of every one was read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::request::Request;
use crate::wait::Wait;

/// Submits `tasks` from `clients`, then reads every result.
///
/// Each client reads the results of what it submitted itself, in that order; no client reads before all have submitted,
/// so that reads do not slow the submissions.
pub(crate) async fn run(
    request: &Request,
    wait: &Wait,
    clients: usize,
    tasks: usize,
) -> anyhow::Result<Value> {
    let next = Arc::new(AtomicUsize::new(0));
    let reads = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let mut submitting = JoinSet::new();
    for _ in 0..clients {
        let (request, next) = (request.clone(), next.clone());
        submitting.spawn(async move {
            let mut connection = request.connect().await?;
            let mut references = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= tasks {
                    return anyhow::Ok(references);
                }
                references.push(request.submit(&mut connection, number as u64).await?);
            }
        });
    }
    let mut submitted = Vec::with_capacity(clients);
    while let Some(ended) = submitting.join_next().await {
        submitted.push(ended??);
    }
    let accepted = begun.elapsed();
    let mut reading = JoinSet::new();
    for references in submitted {
        let (wait, reads) = (wait.clone(), reads.clone());
        reading.spawn(async move {
            let mut connection = wait.connect().await?;
            for reference in references {
                wait.read(&mut connection, &reference).await?;
                reads.fetch_add(1, Ordering::Relaxed);
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = reading.join_next().await {
        ended??;
    }
    let seconds = begun.elapsed().as_secs_f64();
    Ok(json!({
        "rate": tasks as f64 / seconds,
        "accepted_rate": tasks as f64 / accepted.as_secs_f64(),
        "operations": reads.load(Ordering::Relaxed),
    }))
}
