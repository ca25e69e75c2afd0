//! DBOS behind HTTP: DBOS is a library, so the load generator reaches it through the thinnest server that calls it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Parser;
use dbos::{Client, ClientConfig, Config, DBOS, EnqueueOptions, QueueConflict, QueueOptions, WorkflowHandle};
use serde_json::{Value, json};

/// Name of the application, the queue and the workflow.
const APPLICATION: &str = "bench";
const QUEUE: &str = "bench";
const WORKFLOW: &str = "noop";
/// Connections to Postgres of one process.
const CONNECTIONS: u32 = 32;
/// Workflows executed at the same time.
const CONCURRENCY: i32 = 64;
/// The queue is looked at this often; DBOS begins at a second and comes down to it.
const POLLING: Duration = Duration::from_millis(10);

#[derive(Parser)]
enum Arguments {
    /// Create the tables and the queue.
    Prepare {
        #[arg(long)]
        database_url: String,
    },
    /// Take submissions over HTTP; executes nothing.
    Serve {
        #[arg(long)]
        database_url: String,
        #[arg(long)]
        http: SocketAddr,
    },
    /// Execute what is in the queue.
    Worker {
        #[arg(long)]
        database_url: String,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Arguments::parse() {
        Arguments::Prepare { database_url } => prepare(&database_url).await,
        Arguments::Serve { database_url, http } => serve(&database_url, http).await,
        Arguments::Worker { database_url } => work(&database_url).await,
    }
}

fn config(database_url: &str) -> Config {
    Config {
        app_version: Some("1".to_owned()),
        max_connections: CONNECTIONS,
        ..Config::new(APPLICATION, database_url)
    }
}

async fn prepare(database_url: &str) -> anyhow::Result<()> {
    let dbos = DBOS::new(config(database_url));
    dbos.launch().await?;
    let options = QueueOptions {
        worker_concurrency: Some(CONCURRENCY),
        polling_interval: POLLING,
        ..QueueOptions::default()
    };
    dbos.register_queue(QUEUE, options, QueueConflict::AlwaysUpdate).await?;
    dbos.shutdown().await;
    Ok(())
}

async fn work(database_url: &str) -> anyhow::Result<()> {
    let dbos = DBOS::new(config(database_url));
    dbos.register_workflow(WORKFLOW, noop)?;
    dbos.launch().await?;
    println!("ready");
    std::future::pending().await
}

async fn noop(input: Value) -> dbos::Result<String> {
    Ok(input["id"].as_str().unwrap_or_default().to_owned())
}

async fn serve(database_url: &str, http: SocketAddr) -> anyhow::Result<()> {
    let client = Client::connect(ClientConfig {
        app_name: Some(APPLICATION.to_owned()),
        max_connections: CONNECTIONS,
        ..ClientConfig::new(database_url)
    })
    .await?;
    let router = Router::new()
        .route("/tasks", post(accept))
        .route("/tasks/{id}", get(result))
        .with_state(Arc::new(client));
    let listener = tokio::net::TcpListener::bind(http).await?;
    println!("ready http://{http}");
    Ok(axum::serve(listener, router).await?)
}

/// The idempotency key is the workflow's id: a repeat meets the first one.
async fn accept(State(client): State<Arc<Client>>, headers: HeaderMap, body: Bytes) -> Response {
    let key = headers.get("idempotency-key").and_then(|value| value.to_str().ok());
    let input: Value = match serde_json::from_slice(&body) {
        Ok(input) => input,
        Err(error) => return (StatusCode::UNPROCESSABLE_ENTITY, error.to_string()).into_response(),
    };
    let options = EnqueueOptions { workflow_id: key, ..EnqueueOptions::new(QUEUE) };
    let enqueued: dbos::Result<WorkflowHandle<String>> = client.enqueue_with(WORKFLOW, input, options).await;
    match enqueued {
        Ok(handle) => (StatusCode::ACCEPTED, Json(json!({ "id": handle.workflow_id() }))).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// 200 once the workflow has succeeded, 404 before.
async fn result(State(client): State<Arc<Client>>, Path(id): Path<String>) -> Response {
    // The type of the status is private; its JSON is not.
    match client.workflow_status(&id).await {
        Ok(status) if json!(status) == "SUCCESS" => {
            Json(json!({ "id": id, "state": "done" })).into_response()
        }
        Ok(_) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
