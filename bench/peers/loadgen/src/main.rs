//! A closed-loop load generator over HTTP/1.1: each client sends its next request when the last one was answered.
//!
//! One call measures one phase and prints one line of JSON. It knows nothing of the measured system but its addresses.

mod accept;
mod burst;
mod connection;
mod follow;
mod latency;
mod request;
mod single;
mod wait;

use std::time::Duration;

use clap::{Parser, Subcommand};

use request::Request;
use wait::Wait;

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    request: Request,
    #[command(subcommand)]
    phase: Phase,
}

#[derive(Subcommand)]
enum Phase {
    /// Submissions that are acknowledged, for a span of time.
    Accept {
        /// Concurrent clients, one connection each.
        #[arg(long)]
        clients: usize,
        /// Measured seconds.
        #[arg(long)]
        seconds: f64,
        /// Seconds before them, which are not measured.
        #[arg(long, default_value_t = 1.0)]
        warm_up: f64,
    },
    /// Submissions of one client, each sent when the result of the one before is known.
    Single {
        /// Measured seconds.
        #[arg(long)]
        seconds: f64,
        /// Seconds before them, which are not measured.
        #[arg(long, default_value_t = 1.0)]
        warm_up: f64,
        #[command(flatten)]
        wait: Wait,
    },
    /// A number of submissions as fast as they are acknowledged, until the result of each was read.
    Burst {
        /// Concurrent clients, one connection each.
        #[arg(long)]
        clients: usize,
        /// Submissions of all clients together.
        #[arg(long)]
        tasks: usize,
        #[command(flatten)]
        wait: Wait,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { request, phase } = Arguments::parse();
    let line = match phase {
        Phase::Accept { clients, seconds, warm_up } => {
            accept::run(&request, clients, Duration::from_secs_f64(warm_up), Duration::from_secs_f64(seconds))
                .await?
        }
        Phase::Single { seconds, warm_up, wait } => {
            single::run(&request, &wait, Duration::from_secs_f64(warm_up), Duration::from_secs_f64(seconds))
                .await?
        }
        Phase::Burst { clients, tasks, wait } => burst::run(&request, &wait, clients, tasks).await?,
    };
    println!("{line}");
    Ok(())
}
