//! Worker calls over NATS.
//!
//! The body is that of HTTP. Parameters of the path and the query are headers, as in `Capstan-Attempt` or
//! `Capstan-Wait-Ms`; HTTP headers keep their names. The workspace of the subject is the one the worker serves: attempts
//! of other workspaces are not found.

use async_nats::HeaderMap;
use axum::body::{Body, Bytes};
use axum::http::Request;

use super::address::escaped;
use super::message::find;
use crate::auth::caller::Caller;
use crate::auth::place::Place;
use crate::http::routes::operations;
use crate::operation::Operation;
use crate::problem::{Code, Problem};

/// Headers with the same meaning as over HTTP.
const HEADERS: [&str; 4] = ["capstan-lease-epoch", "idempotency-key", "capstan-command-id", "traceparent"];

/// The worker calls.
pub(super) fn served() -> impl Iterator<Item = &'static Operation> {
    operations().iter().filter(|operation| operation.is_worker_call())
}

/// The header for a parameter of the path or the query.
fn header_of(name: &str) -> String {
    format!("Capstan-{}", name.strip_suffix("_id").unwrap_or(name).replace('_', "-"))
}

/// The same request over HTTP, from a worker that NATS has authorised.
pub(super) fn request(
    operation: &Operation,
    workspace: &str,
    headers: Option<&HeaderMap>,
    payload: &Bytes,
) -> Result<Request<Body>, Problem> {
    let given = |name: &str| headers.and_then(|headers| find(headers, name)).filter(|text| !text.is_empty());
    let mut path = operation.path.to_owned();
    let mut named = Vec::new();
    for name in operation.path_names() {
        let header = header_of(name);
        let value = given(&header)
            .ok_or_else(|| Problem::invalid_field("", format!("the header {header} is required")))?;
        path = path.replace(&format!("{{{name}}}"), &escaped(value));
        named.push((name, value));
    }
    let caller = Caller::BusWorker(workspace.to_owned());
    caller.must_be_allowed(operation.scope, &Place::from_path(named))?;
    let mut joint = '?';
    for parameter in operation.query() {
        if let Some(value) = given(&header_of(parameter.name)) {
            path.push_str(&format!("{joint}{}={}", escaped(parameter.name), escaped(value)));
            joint = '&';
        }
    }
    let mut request = Request::builder().method(operation.method.as_str()).uri(path).extension(caller);
    for name in HEADERS {
        if let Some(value) = given(name) {
            request = request.header(name, value);
        }
    }
    request
        .body(Body::from(payload.clone()))
        .map_err(|_| Problem::new(Code::MalformedRequest, "the headers do not form a valid request"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: &str, headers: &[(&str, &str)]) -> Result<Request<Body>, Problem> {
        let operation = served().find(|operation| operation.name == name).unwrap();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, *value);
        }
        request(operation, "dev", Some(&map), &Bytes::from_static(b"[]"))
    }

    #[test]
    fn headers_make_the_address_and_keep_their_meaning() {
        let attempt = "dev.0192f0c1-0000-7000-8000-000000000001.3";
        let headers = [("capstan-attempt", attempt), ("Capstan-Lease-Epoch", "3"), ("Idempotency-Key", "m1")];
        let request = asked("AppendLogs", &headers).unwrap();
        assert_eq!(request.uri().path(), format!("/v1/attempts/{attempt}/logs"));
        assert_eq!(
            (&request.headers()["capstan-lease-epoch"], &request.headers()["idempotency-key"]),
            (&"3".parse().unwrap(), &"m1".parse().unwrap())
        );
        let renewal = asked("RenewLeases", &[("Capstan-Worker", "w")]).unwrap();
        assert_eq!(renewal.uri(), "/v1/workers/w/renew");
    }

    #[test]
    fn what_is_not_named_or_is_elsewhere_is_refused() {
        let nameless = asked("AppendLogs", &[]).unwrap_err();
        assert!(nameless.errors[0].message.contains("Capstan-attempt"), "{:?}", nameless.errors);
        let attempt = "other.0192f0c1-0000-7000-8000-000000000001.3";
        let elsewhere = asked("AppendLogs", &[("Capstan-Attempt", attempt)]).unwrap_err();
        assert_eq!(elsewhere.code, Code::NotFound);
    }
}
