//! Requests that the handler of their HTTP route answers, so that HTTP and NATS cannot differ.

use std::sync::Arc;

use async_nats::HeaderMap;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Request, Response, header};
use tower::ServiceExt;

use super::{queries, worker_calls};
use crate::App;
use crate::call::CallContext;
use crate::http::conventions::Correlation;
use crate::http::headers::POSITION;
use crate::http::routes::bus_router;
use crate::operation::Operation;
use crate::problem::Problem;

/// The router of the queries and worker calls.
#[derive(Clone)]
pub(super) struct Routed(Router);

impl Routed {
    pub(super) fn new(app: &Arc<App>) -> Self {
        Self(bus_router(app))
    }

    /// The operations it serves.
    pub(super) fn operations() -> impl Iterator<Item = &'static Operation> {
        queries::served().chain(worker_calls::served())
    }

    /// Executes the operation; the headers are those of an HTTP response.
    pub(super) async fn execute(
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
