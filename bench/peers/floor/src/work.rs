//! `POST /v1/work`: reports of ended tasks and the next leases in one request.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};

use crate::Server;
use crate::append::Append;
use crate::commit::{step, subject};
use crate::open_tasks::Queued;

/// The events of a lease, and of the end of nothing.
const LEASE: &[&str] = &["attempt-leased"];
const END: &[&str] = &["attempt-started", "attempt-finished", "task-done"];
/// Longest wait for a task.
const PATIENCE: Duration = Duration::from_secs(1);

/// The request of a worker.
#[derive(Serialize, Deserialize)]
pub(crate) struct Work {
    /// Most tasks to lease.
    pub(crate) want: usize,
    /// Tasks that ended, with the sequences of their leases.
    pub(crate) ended: Vec<Queued>,
}

/// Stores the ends, then leases up to `want` tasks and answers them with the sequences of their leases.
pub(crate) async fn work(State(server): State<Arc<Server>>, body: Bytes) -> Response {
    let work: Work = match serde_json::from_slice(&body) {
        Ok(work) => work,
        Err(error) => return (StatusCode::UNPROCESSABLE_ENTITY, error.to_string()).into_response(),
    };
    match exchange(&server, work).await {
        Ok(leased) => Json(leased).into_response(),
        Err(error) => (StatusCode::CONFLICT, format!("{error:#}")).into_response(),
    }
}

async fn exchange(server: &Server, work: Work) -> anyhow::Result<Vec<Queued>> {
    let reported = !work.ended.is_empty();
    try_join_all(work.ended.into_iter().map(|task| advance(server, task, 3, END))).await?;
    let mut tasks = server.open_tasks.take(work.want);
    if tasks.is_empty() && !reported {
        tasks = server.open_tasks.take_next(work.want, PATIENCE).await;
    }
    try_join_all(tasks.into_iter().map(|task| advance(server, task, 2, LEASE))).await
}

/// Appends the next commit of a task.
async fn advance(
    server: &Server,
    (task, expected): Queued,
    version: u32,
    events: &[&str],
) -> anyhow::Result<Queued> {
    let payload = Bytes::from(step(version, events));
    let sequence = server.log.append(Append { subject: subject("dev", task), expected, payload }).await?;
    Ok((task, sequence))
}
