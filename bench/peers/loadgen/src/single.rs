//! One submission after another, each until its result was read: the latency of a task without contention.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::follow::Follower;
use crate::latency::Latency;
use crate::request::Request;
use crate::wait::Wait;

/// Runs one client for the warm-up and the measured span.
pub(crate) async fn run(
    request: &Request,
    wait: &Wait,
    warm_up: Duration,
    span: Duration,
) -> anyhow::Result<Value> {
    let mut submitting = request.connect().await?;
    let mut reading = wait.connect().await?;
    let mut follower = Follower::open(wait).await?;
    let mut latency = Latency::new();
    let from = Instant::now() + warm_up;
    let until = from + span;
    let mut operations = 0;
    loop {
        let sent = Instant::now();
        if sent >= until {
            return Ok(latency.line(span, operations));
        }
        let reference = request.submit(&mut submitting, operations).await?;
        match &mut follower {
            Some(follower) => {
                let position = follower.end_of(&reference).await?;
                wait.read_after(&mut reading, &reference, &position).await?;
            }
            None => wait.read(&mut reading, &reference).await?,
        }
        operations += 1;
        if sent >= from {
            latency.record(sent.elapsed());
        }
    }
}
