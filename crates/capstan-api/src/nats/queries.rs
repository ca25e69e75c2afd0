//! Reads as requests: the routes of the read models, asked on the bus.
//!
//! The body holds the parameters of the path and of the query by their names; the reply is what HTTP answers. A query is
//! carried out by the very handler of its route, so the two cannot differ.

use std::sync::Arc;

use async_nats::HeaderMap;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, header};
use serde_json::{Map, Value};
use tower::ServiceExt;
use uuid::Uuid;

use crate::App;
use crate::auth::Caller;
use crate::body;
use crate::conventions::POSITION;
use crate::operation::Operation;
use crate::problem::{Code, Problem};
use crate::routes::{operations, reads_router};

/// The reads of the table.
#[derive(Clone)]
pub(super) struct Queries(Router);

impl Queries {
    pub(super) fn new(app: &Arc<App>) -> Self {
        // NATS' permissions have let this request through; see docs/operations/nats.md.
        Self(reads_router(app, &Caller::Installation("nats")))
    }

    /// The operations that can be asked.
    pub(super) fn operations() -> impl Iterator<Item = &'static Operation> {
        operations().filter(|operation| operation.is_query())
    }

    /// Asks; the headers say what an HTTP answer's would.
    pub(super) async fn ask(
        &self,
        operation: &'static Operation,
        workspace: &str,
        json: &[u8],
        correlation_id: Uuid,
    ) -> Result<(HeaderMap, Vec<u8>), Problem> {
        let target = target(operation, workspace, body::parse_optional(json)?)?;
        let request = Request::get(target)
            .header(crate::CORRELATION, correlation_id.to_string())
            .body(Body::empty())
            .map_err(|_| Problem::new(Code::MalformedRequest, "the parameters make no address"))?;
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

/// The address HTTP callers would ask.
fn target(operation: &Operation, workspace: &str, mut given: Map<String, Value>) -> Result<String, Problem> {
    let mut path = operation.path.replace("{workspace}", &escaped(workspace));
    for name in operation.path_names().filter(|name| *name != "workspace") {
        let value = given.remove(name).and_then(|value| text(&value)).filter(|text| !text.is_empty());
        let value = value
            .ok_or_else(|| Problem::invalid_field(&format!("/{name}"), format!("{name} is required")))?;
        path = path.replace(&format!("{{{name}}}"), &escaped(&value));
    }
    let mut joint = '?';
    for (name, value) in given.iter().filter(|(_, value)| !value.is_null()) {
        let value = text(value).ok_or_else(|| {
            Problem::invalid_field(
                &format!("/{name}"),
                "must be a text, a number, a yes or no, or a list of these",
            )
        })?;
        path.push(joint);
        path.push_str(&format!("{}={}", escaped(name), escaped(&value)));
        joint = '&';
    }
    Ok(path)
}

/// How a value is written in a query string.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Array(list) => list.iter().map(text).collect::<Option<Vec<_>>>().map(|words| words.join(",")),
        Value::Null | Value::Object(_) => None,
    }
}

/// Percent-encodes everything but letters, digits and `-_.~`.
fn escaped(text: &str) -> String {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "the value is made for this call")]
    fn asked(name: &str, body: Value) -> Result<String, Problem> {
        let operation = operations().find(|operation| operation.name == name).unwrap();
        target(operation, "dev", body.as_object().unwrap().clone())
    }

    #[test]
    fn a_body_makes_the_address_of_its_route() {
        let list = asked("ListTasks", json!({ "state": ["queued", "done"], "limit": 5, "archived": false }));
        assert_eq!(list.unwrap(), "/v1/workspaces/dev/tasks?archived=false&limit=5&state=queued%2Cdone");
        let one = asked("GetAgent", json!({ "agent": "a/b?c" }));
        assert_eq!(one.unwrap(), "/v1/workspaces/dev/agents/a%2Fb%3Fc");
        let nameless = asked("GetTask", json!({})).unwrap_err();
        assert_eq!(nameless.errors[0].pointer, "/task");
    }
}
