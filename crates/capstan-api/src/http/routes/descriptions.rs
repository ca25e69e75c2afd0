//! `/openapi.json` and `/asyncapi.json`: the surface, described for machines.

use axum::body::Bytes;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use std::sync::LazyLock;

static OPENAPI: LazyLock<Bytes> = LazyLock::new(|| crate::describe::openapi::DOCUMENT.to_string().into());
static ASYNCAPI: LazyLock<Bytes> = LazyLock::new(|| crate::describe::asyncapi::DOCUMENT.to_string().into());

pub(super) async fn openapi() -> Response {
    json(&OPENAPI)
}

pub(super) async fn asyncapi() -> Response {
    json(&ASYNCAPI)
}

fn json(text: &Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text.clone()).into_response()
}
