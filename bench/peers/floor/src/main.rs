//! The floor: the thinnest server that keeps the promises of Capstan's accept path on the same stack, axum, one JetStream
//! message a command and COPY into two narrow tables.
//!
//! It is a measure and not a product. What it keeps: a strict body, an id derived from the idempotency key, a fingerprint
//! of the body, an expected sequence, a hash over subject and payload, a receipt with the position, and a projector that
//! checks the hash and writes rows and checkpoint in one transaction. A task takes three commits: accepted, leased, ended.

mod accept;
mod append;
mod commit;
mod copy_rows;
mod group_commit;
mod open_tasks;
mod projector;
mod result;
mod work;
mod worker;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use async_nats::jetstream;
use axum::Router;
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use clap::Parser;

use append::Log;
use open_tasks::OpenTasks;
use projector::Projector;

#[derive(Parser)]
enum Arguments {
    /// Serve HTTP.
    Serve {
        /// Address to listen on.
        #[arg(long)]
        http: SocketAddr,
        #[arg(long)]
        nats_url: String,
        #[arg(long)]
        database_url: String,
        #[command(flatten)]
        tuning: Tuning,
    },
    /// Lease tasks and end them at once.
    Worker {
        /// The server.
        #[arg(long)]
        server: SocketAddr,
        /// Connections, each with a request under way.
        #[arg(long, default_value_t = 4)]
        connections: usize,
        /// Most tasks of one request.
        #[arg(long, default_value_t = 64)]
        want: usize,
    },
}

#[derive(clap::Args)]
struct Tuning {
    /// Send commits that wait while others are under way as one atomic batch.
    #[arg(long)]
    group_commit: bool,
    /// Milliseconds for which the projector gathers a batch.
    #[arg(long, default_value_t = 5)]
    gather_ms: u64,
}

/// What the handlers share.
struct Server {
    log: Log,
    open_tasks: Arc<OpenTasks>,
    fingerprints: commit::Fingerprints,
    reads: tokio_postgres::Client,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Arguments::parse() {
        Arguments::Serve { http, nats_url, database_url, tuning } => {
            serve(http, &nats_url, &database_url, &tuning).await
        }
        Arguments::Worker { server, connections, want } => worker::run(server, connections, want).await,
    }
}

async fn serve(http: SocketAddr, nats_url: &str, database_url: &str, tuning: &Tuning) -> anyhow::Result<()> {
    let nats = async_nats::ConnectOptions::new().client_capacity(65_536).connect(nats_url).await?;
    let log = Log::create(nats, tuning.group_commit).await.context("create the log")?;
    let open_tasks = Arc::new(OpenTasks::default());
    let gather = Duration::from_millis(tuning.gather_ms);
    let projector = Projector::create(&log, database_url, gather, open_tasks.clone()).await?;
    let mut projecting = tokio::spawn(projector.run());
    let (reads, connection) = tokio_postgres::connect(database_url, tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    let server = Server { log, open_tasks, fingerprints: commit::Fingerprints::new(), reads };
    let router = Router::new()
        .route("/v1/workspaces/{workspace}/tasks", post(accept::accept))
        .route("/v1/workspaces/{workspace}/tasks/{id}", get(result::result))
        .route("/v1/work", post(work::work))
        .with_state(Arc::new(server));
    let listener = tokio::net::TcpListener::bind(http).await?.tap_io(|stream| {
        // Without it an answer waits for the acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
    });
    println!("ready http://{http}");
    tokio::select! {
        ended = axum::serve(listener, router) => Ok(ended?),
        ended = &mut projecting => ended?.context("project"),
    }
}

/// The JetStream context of a connection.
fn jetstream_of(client: async_nats::Client) -> jetstream::Context {
    let mut context = jetstream::new(client);
    context.set_timeout(Duration::from_secs(30));
    context
}
