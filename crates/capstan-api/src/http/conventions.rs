//! The conventions of every response: correlation id, problem documents, panics, metrics.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use futures_util::FutureExt as _;
use uuid::Uuid;

use super::headers::{CORRELATION, header_text};
use super::responses::status;
use crate::call::fresh_id;
use crate::metric;
use crate::problem::{self, Code, Problem};

/// The correlation id of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Correlation {
    pub(crate) id: Uuid,
    pub(crate) is_given: bool,
}

/// Wraps every route: sets the correlation id, renders problem documents, and records metrics.
pub(crate) async fn answer(mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let given = request.headers().get(&CORRELATION).and_then(|value| value.to_str().ok()?.parse().ok());
    let correlation_id = given.unwrap_or_else(|| fresh_id(Utc::now()));
    request.extensions_mut().insert(Correlation { id: correlation_id, is_given: given.is_some() });
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let mut response = answered.unwrap_or_else(|panic| panicked(&*panic).into_response());

    let mut known = response.extensions_mut().remove::<Problem>();
    if known.is_none() {
        known = without_document(response.status(), &response);
    }
    if let Some(problem) = known {
        problem.log(correlation_id);
        response = render(&problem, correlation_id, response.headers());
    }
    response.headers_mut().insert(CORRELATION, header_text(&correlation_id));
    count(&method, route.as_ref(), response.status(), began);
    response
}

/// The problem of a response that the framework made from a status alone.
fn without_document(status: StatusCode, response: &Response) -> Option<Problem> {
    let has_body = response.headers().contains_key(header::CONTENT_TYPE)
        && response
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind != "text/plain; charset=utf-8");
    if has_body {
        return None;
    }
    match status {
        StatusCode::METHOD_NOT_ALLOWED => {
            Some(Problem::new(Code::MethodNotAllowed, "this route does not support this method"))
        }
        StatusCode::NOT_FOUND => Some(Problem::not_found("route")),
        StatusCode::BAD_REQUEST | StatusCode::UPGRADE_REQUIRED => {
            Some(Problem::new(Code::MalformedRequest, "the request is malformed"))
        }
        _ => None,
    }
}

fn render(problem: &Problem, correlation_id: Uuid, kept: &HeaderMap) -> Response {
    let body = problem.document(correlation_id).to_json();
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static(problem::MEDIA_TYPE))];
    let mut response = (status(problem.status()), kind, Body::from(body)).into_response();
    for name in [header::RETRY_AFTER, header::WWW_AUTHENTICATE, header::ALLOW] {
        if let Some(value) = kept.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

fn count(method: &Method, route: Option<&MatchedPath>, status: StatusCode, began: Instant) {
    let route = route.map_or_else(|| "unmatched".to_owned(), |route| route.as_str().to_owned());
    let method = match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    };
    metrics::counter!(
        metric::HTTP_REQUESTS,
        "route" => route.clone(), "method" => method, "status" => status.as_u16().to_string()
    )
    .increment(1);
    metrics::histogram!(metric::HTTP_REQUEST_SECONDS, "route" => route, "method" => method)
        .record(began.elapsed());
}

/// Turns a panic in a handler into an internal error; its text is only logged.
fn panicked(panic: &(dyn Any + Send)) -> Problem {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without text");
    tracing::error!(panic = text, "panicked while answering a request");
    Problem::new(Code::InternalError, "internal error")
}
