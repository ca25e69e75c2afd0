//! What workers say, as requests: the worker protocol on the bus.
//!
//! The body is the one of HTTP. What stands in the path or in the query there is a header here, `Capstan-Attempt` or
//! `Capstan-Wait-Ms`; the headers of HTTP keep their names. The workspace of the subject is the one the worker serves:
//! attempts of others do not exist for it.

use async_nats::HeaderMap;
use axum::body::{Body, Bytes};
use axum::http::Request;

use super::message::find;
use super::routed::escaped;
use crate::auth::{Caller, Place};
use crate::http::routes::operations;
use crate::operation::Operation;
use crate::problem::{Code, Problem};

/// Headers that mean what they mean over HTTP.
const HEADERS: [&str; 4] = ["capstan-lease-epoch", "idempotency-key", "capstan-command-id", "traceparent"];

/// The calls there are.
pub(super) fn operations_asked() -> impl Iterator<Item = &'static Operation> {
    operations().filter(|operation| operation.is_worker_call())
}

/// The header that stands for a name of the path or the query.
fn header_of(name: &str) -> String {
    format!("Capstan-{}", name.replace('_', "-"))
}

/// The request a worker would send over HTTP, from somebody NATS has let through.
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
    caller.must_be_allowed(operation.scope, &Place::of(named))?;
    let mut joint = '?';
    for parameter in operation.query() {
        if let Some(value) = given(&header_of(parameter.name)) {
            path.push_str(&format!("{joint}{}={}", escaped(parameter.name), escaped(value)));
            joint = '&';
        }
    }
    let mut request = Request::builder().method(operation.method.method()).uri(path).extension(caller);
    for name in HEADERS {
        if let Some(value) = given(name) {
            request = request.header(name, value);
        }
    }
    request
        .body(Body::from(payload.clone()))
        .map_err(|_| Problem::new(Code::MalformedRequest, "the headers make no request"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: &str, headers: &[(&str, &str)]) -> Result<Request<Body>, Problem> {
        let operation = operations_asked().find(|operation| operation.name == name).unwrap();
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
        let renewal = asked("RenewLeases", &[("Capstan-Worker", "w"), ("Capstan-Wait-Ms", "300")]).unwrap();
        assert_eq!(renewal.uri(), "/v1/workers/w/renew?wait_ms=300");
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
