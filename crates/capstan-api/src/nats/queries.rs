//! Queries over NATS.
//!
//! The body holds the parameters of the path and of the query by name; the reply is the HTTP response.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Map, Value};

use super::address::escaped;
use crate::auth::caller::Caller;
use crate::http::routes::operations;
use crate::operation::Operation;
use crate::problem::{Code, Problem};

/// The queries served over NATS.
pub(super) fn served() -> impl Iterator<Item = &'static Operation> {
    operations().iter().filter(|operation| operation.waits_for_position())
}

/// The same request over HTTP.
pub(super) fn request(operation: &Operation, workspace: &str, json: &[u8]) -> Result<Request<Body>, Problem> {
    let json = if json.iter().all(u8::is_ascii_whitespace) { b"{}" } else { json };
    let fields = serde_json::from_slice(json).map_err(|error| crate::request::malformed(&error))?;
    let Value::Object(fields) = fields else { return Err(Problem::invalid_field("", "must be an object")) };
    let target = target(operation, workspace, fields)?;
    // NATS has authorised this request by its permissions; see docs/operations/nats.md.
    let request = Request::get(target).extension(Caller::Installation("nats"));
    request
        .body(Body::empty())
        .map_err(|_| Problem::new(Code::MalformedRequest, "parameters do not form a valid path"))
}

/// The path and query string of the request.
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
                "must be a string, a number, a boolean, or a list of these",
            )
        })?;
        path.push(joint);
        path.push_str(&format!("{}={}", escaped(name), escaped(&value)));
        joint = '&';
    }
    Ok(path)
}

/// A value as text of a query string.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Array(list) => list.iter().map(text).collect::<Option<Vec<_>>>().map(|words| words.join(",")),
        Value::Null | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "the value is made for this call")]
    fn asked(name: &str, body: Value) -> Result<String, Problem> {
        let operation = operations().iter().find(|operation| operation.name == name).unwrap();
        target(operation, "dev", body.as_object().unwrap().clone())
    }

    #[test]
    fn a_body_makes_the_address_of_its_route() {
        let list = asked("ListTasks", json!({ "state": ["queued", "done"], "limit": 5, "archived": false }));
        assert_eq!(list.unwrap(), "/v1/workspaces/dev/tasks?archived=false&limit=5&state=queued%2Cdone");
        let one = asked("GetAgent", json!({ "agent_id": "a/b?c" }));
        assert_eq!(one.unwrap(), "/v1/workspaces/dev/agents/a%2Fb%3Fc");
        let nameless = asked("GetTask", json!({})).unwrap_err();
        assert_eq!(nameless.errors[0].pointer, "/task_id");
    }
}
