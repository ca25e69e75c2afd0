//! Requests that the handler of their HTTP route answers, so that HTTP and NATS cannot differ.

use std::sync::Arc;

use async_nats::HeaderMap;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Request, Response, header};
use tower::ServiceExt;

use super::queries;
use crate::App;
use crate::call::CallContext;
use crate::http::conventions::Correlation;
use crate::http::headers::POSITION;
use crate::http::routes::bus_router;
use crate::operation::Operation;
use crate::problem::Problem;

/// The router of the queries.
#[derive(Clone)]
pub(super) struct Routed(Router);

impl Routed {
    pub(super) fn new(app: &Arc<App>) -> Self {
        Self(bus_router(app))
    }

    /// Executes the operation; the headers are those of an HTTP response.
    pub(super) async fn execute(
        &self,
        operation: &Operation,
        workspace: &str,
        payload: &Bytes,
        call: &CallContext,
    ) -> Result<(HeaderMap, Vec<u8>), Problem> {
        let mut request = queries::request(operation, workspace, payload)?;
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
