//! Measures how fast the whole log is read and decoded.
//!
//! `replay_bench URL PREFIX` reads what `append_bench URL SECONDS PREFIX` left behind, three times.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::time::Instant;

use capstan_envelope::Position;
use capstan_eventlog::{EventLog, JetStreamConfig, JetStreamLog, Selection};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "nats://127.0.0.1:4222".to_owned());
    let config = JetStreamConfig { stream_prefix: arguments.next(), ..JetStreamConfig::new(url) };
    let log = JetStreamLog::connect(config).await?;
    let head = log.head().await?;
    for _ in 0..3 {
        let started = Instant::now();
        let mut tail = log.tail(Selection::All, Position::START).await?;
        let (mut commits, mut batches, mut position) = (0, 0, Position::START);
        while position < head {
            let batch = tail.next().await?;
            commits += batch.commits.len();
            batches += 1;
            position = batch.position;
        }
        let seconds = started.elapsed().as_secs_f64();
        println!("{commits} commits in {batches} batches, {:.0} commits/s", commits as f64 / seconds);
    }
    Ok(())
}
