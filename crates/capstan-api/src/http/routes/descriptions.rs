//! `/openapi.json` and `/asyncapi.json`: the published documents.

use std::sync::LazyLock;

use axum::Extension;
use axum::body::Bytes;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::answers::ANSWERS;
use crate::describe::{asyncapi, openapi};
use crate::operation::Operation;

/// The published documents as JSON.
pub(super) struct Documents {
    openapi: Bytes,
    asyncapi: Bytes,
}

/// The documents as the router hands them over: drawn at the first request.
type Drawn = &'static LazyLock<Documents>;

impl Documents {
    /// Draws the documents of these operations.
    pub(super) fn new(operations: &[Operation]) -> Self {
        Self {
            openapi: openapi::document(operations, ANSWERS).to_string().into(),
            asyncapi: asyncapi::document(operations, ANSWERS).to_string().into(),
        }
    }
}

pub(super) async fn openapi(Extension(documents): Extension<Drawn>) -> Response {
    json(&documents.openapi)
}

pub(super) async fn asyncapi(Extension(documents): Extension<Drawn>) -> Response {
    json(&documents.asyncapi)
}

fn json(text: &Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text.clone()).into_response()
}
