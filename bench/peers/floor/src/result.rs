//! `GET /v1/workspaces/{workspace}/tasks/{id}`: waits until a task has ended and reads its row.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use crate::Server;
use crate::projector;

/// Longest wait of one read.
const PATIENCE: Duration = Duration::from_secs(20);

/// Answers 200 with the task once its row says that it is done, 404 if it does not in time.
pub(crate) async fn result(
    State(server): State<Arc<Server>>,
    Path((_, task)): Path<(String, Uuid)>,
) -> Response {
    server.open_tasks.end_of(task, PATIENCE).await;
    match server.reads.query_opt("SELECT state FROM task WHERE id = $1", &[&task]).await {
        Ok(Some(row)) if row.get::<_, i16>(0) == projector::State::Done as i16 => {
            (StatusCode::OK, format!(r#"{{"id":"{task}","state":"done"}}"#)).into_response()
        }
        Ok(_) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
