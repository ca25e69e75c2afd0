//! Requests that are carried out by the very handler of their HTTP route, so that the two ways cannot differ.

use std::sync::Arc;

use async_nats::HeaderMap;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Request, Response, header};
use tower::ServiceExt;

use super::{queries, worker_calls};
use crate::App;
use crate::call::CallContext;
use crate::http::conventions::{Correlation, POSITION};
use crate::http::routes::bus_router;
use crate::operation::Operation;
use crate::problem::Problem;

/// The routes the bus asks.
#[derive(Clone)]
pub(super) struct Routed(Router);

impl Routed {
    pub(super) fn new(app: &Arc<App>) -> Self {
        Self(bus_router(app))
    }

    /// The operations that can be asked.
    pub(super) fn operations() -> impl Iterator<Item = &'static Operation> {
        queries::operations_asked().chain(worker_calls::operations_asked())
    }

    /// Asks; the headers say what an HTTP answer's would.
    pub(super) async fn ask(
        &self,
        operation: &Operation,
        workspace: &str,
        (headers, payload): (Option<&HeaderMap>, &Bytes),
        call: &CallContext,
    ) -> Result<(HeaderMap, Vec<u8>), Problem> {
        let mut request = if operation.is_worker_call() {
            worker_calls::request(operation, workspace, headers, payload)?
        } else {
            queries::request(operation, workspace, payload)?
        };
        request.extensions_mut().insert(Correlation(call.correlation_id));
        self.answer(request).await
    }

    async fn answer(&self, request: Request<Body>) -> Result<(HeaderMap, Vec<u8>), Problem> {
        let Ok(mut answer) = self.0.clone().oneshot(request).await;
        if let Some(problem) = answer.extensions_mut().remove::<Problem>() {
            return Err(problem);
        }
        let headers = headers(&answer);
        let bytes = axum::body::to_bytes(answer.into_body(), usize::MAX).await.map_err(Problem::internal)?;
        Ok((headers, bytes.into()))
    }
}

fn headers(answer: &Response<Body>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("Capstan-Status", answer.status().as_str());
    for (name, from) in [("Capstan-Position", POSITION), ("ETag", header::ETAG)] {
        if let Some(value) = answer.headers().get(from).map(HeaderValue::to_str).and_then(Result::ok) {
            headers.insert(name, value);
        }
    }
    headers
}

/// Percent-encodes everything but letters, digits and `-_.~`.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}
