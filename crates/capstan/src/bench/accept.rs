//! Measures the rate and latency of commands, over HTTP or NATS.

use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use uuid::Uuid;

use crate::bench::bed::Bed;
use crate::bench::limits::RawLog;
use crate::bench::report::Sample;
use crate::bench::{http_load, nats_load};

/// The way commands take to the product.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Via {
    /// `POST /tasks`.
    Http,
    /// Requests on `capstan.rpc.…`.
    Rpc,
    /// Durable commands on `capstan.cmd.…`, counted when their outcome is published.
    Cmd,
}

/// One round: for each number of clients first the raw limit, then Capstan.
pub(super) async fn round(
    bed: &Bed,
    number: usize,
    via: Via,
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
        let (name, latency) = match via {
            Via::Http => {
                let path = "/v1/workspaces/dev/tasks";
                ("accept", http_load::run(&bed.host(), path, clients, span, 202, body).await?)
            }
            Via::Rpc => {
                ("accept by request", nats_load::requests(&bed.nats_url(), clients, span, body).await?)
            }
            Via::Cmd => ("accept durably", nats_load::durable(&bed.nats_url(), clients, span, body).await?),
        };
        let name = format!("{name}, {clients} clients");
        samples.push(Sample::latency(name, "commands/s", &latency).against(&limit));
        samples.push(limit);
        bed.settled().await?;
    }
    Ok(samples)
}

/// A command with a key of its own, as a caller sends it who may have to send it again.
fn body(number: u64) -> String {
    let (key, filler) = (Uuid::now_v7(), "x".repeat(400));
    format!(r#"{{"agent_id":"demo","message":"bench {number} {filler}","idempotency_key":"{key}"}}"#)
}
