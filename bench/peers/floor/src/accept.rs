//! `POST /v1/workspaces/{workspace}/tasks`: accepts a task.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use uuid::Uuid;

use crate::Server;
use crate::append::Append;
use crate::commit::{Acceptance, Accepted, hash, hex, now_ms, subject};

/// The body.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body<'a> {
    agent_id: &'a str,
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(default)]
    priority: Option<i16>,
}

/// Stores the acceptance and answers 202 with a receipt. A repeat of a key meets the task of the first and is 409.
pub(crate) async fn accept(
    State(server): State<Arc<Server>>,
    Path(workspace): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Response {
    let body: Body<'_> = match serde_json::from_slice(&bytes) {
        Ok(body) => body,
        Err(error) => return (StatusCode::UNPROCESSABLE_ENTITY, error.to_string()).into_response(),
    };
    let key = headers.get("idempotency-key").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let task = task_id(&workspace, body.agent_id, key);
    let fingerprint = server.fingerprints.of(&bytes);
    let (command, at, priority) = (Uuid::now_v7(), now_ms(), body.priority);
    let accepted = Accepted {
        kind: "task-accepted",
        agent: body.agent_id,
        agent_version: 3,
        session: task,
        message: body.message,
        priority,
    };
    let acceptance = Acceptance {
        id: command,
        at,
        by: "http",
        key,
        fingerprint: &fingerprint,
        version: 1,
        events: [accepted],
        previous: None,
    };
    let payload = Bytes::from(serde_json::to_vec(&acceptance).expect("a commit is JSON"));
    let subject = subject(&workspace, task);
    let hash = hex(&hash(&subject, &payload)[..4]);
    match server.log.append(Append { subject, expected: 0, payload }).await {
        Err(error) => (StatusCode::CONFLICT, format!("{error:#}")).into_response(),
        Ok(sequence) => {
            let mut text = String::with_capacity(600);
            let _ = write!(
                text,
                r#"{{"receipt":{{"command_id":"{command}","position":"0-{sequence}-{hash}","version":1,"duplicate":false}},"#
            );
            let _ = write!(
                text,
                r#""task":{{"id":"{task}","workspace":"{workspace}","agent_id":"{}","session_id":"{task}","state":"queued","created_at":{at},"priority":{}}}}}"#,
                body.agent_id,
                priority.unwrap_or(0)
            );
            (StatusCode::ACCEPTED, [(header::CONTENT_TYPE, "application/json")], text).into_response()
        }
    }
}

/// The id of a task: derived from its key, so that a repeat meets the same subject.
fn task_id(workspace: &str, agent: &str, key: &str) -> Uuid {
    if key.is_empty() {
        return Uuid::now_v7();
    }
    Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{workspace}/{agent}/{key}").as_bytes())
}
