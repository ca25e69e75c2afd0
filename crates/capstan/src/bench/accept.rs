//! Measures the rate and latency of commands over HTTP.

use std::sync::Arc;
use std::time::Duration;

use crate::bench::bed::Bed;
use crate::bench::http_load;
use crate::bench::limits::RawLog;
use crate::bench::report::Sample;

/// One round: for each number of clients first the raw limit, then Capstan.
pub(super) async fn round(
    bed: &Bed,
    number: usize,
    clients: &[usize],
    seconds: u64,
) -> anyhow::Result<Vec<Sample>> {
    let span = Duration::from_secs(seconds);
    let raw = Arc::new(RawLog::create(&bed.nats_url(), &format!("ACCEPT{number}")).await?);
    let mut samples = Vec::new();
    for clients in clients.iter().copied() {
        let limit = Sample::latency(
            format!("raw publish, {clients} clients"),
            "commits/s",
            &raw.publish(clients, span).await?,
        );
        let latency = http_load::run(&bed.host(), "/v1/workspaces/dev/tasks", clients, span, 202, |number| {
            format!(r#"{{"agent_id":"demo","message":"bench {number} {}"}}"#, "x".repeat(400))
        })
        .await?;
        samples.push(
            Sample::latency(format!("accept, {clients} clients"), "commands/s", &latency).against(&limit),
        );
        samples.push(limit);
        bed.settled().await?;
    }
    Ok(samples)
}
