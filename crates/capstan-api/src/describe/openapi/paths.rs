//! The paths of the document: one entry for each operation.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::components::{Components, pascal, required};
use super::responses::{or_null, page_name, reply_name};
use super::{examples, parameters};
use crate::operation::{Answer, Operation, Scope, Verb};
use crate::prefer::MINIMAL;
use crate::problem::Code;

pub(super) fn draw(operations: &[Operation], components: &mut Components) -> Value {
    let mut paths = Map::new();
    for operation in operations {
        let methods = paths.entry(operation.path).or_insert_with(|| json!({}));
        let method = operation.method.as_str().to_lowercase();
        methods[method] = one(operation, components);
    }
    Value::Object(paths)
}

fn one(operation: &Operation, components: &mut Components) -> Value {
    let mut shown = json!({
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [tag(operation)],
        "parameters": parameters::of(operation, components),
        "responses": responses(operation, components),
        "x-capstan-scope": operation.scope,
    });
    if operation.scope == Scope::Public {
        shown["security"] = json!([]);
    }
    if let Some(name) = operation.rpc_name() {
        shown["x-capstan-nats"] = json!(format!("capstan.rpc.{{workspace}}.{name}"));
    }
    if let Some(body) = body(operation, components) {
        shown["requestBody"] = body;
    }
    shown
}

pub(super) fn tag(operation: &Operation) -> &'static str {
    let below = operation.path.strip_prefix("/v1/workspaces/{workspace}/");
    match below.and_then(|path| path.split('/').next()) {
        Some(first) if !first.starts_with('{') => first,
        _ if operation.path.starts_with("/v1/workspaces") => "workspaces",
        _ if operation.path.starts_with("/v1/workers") => "workers",
        _ if operation.path.starts_with("/v1/attempts") => "attempts",
        _ if operation.path.starts_with("/v1/admin") => "admin",
        _ => "service",
    }
}

fn body(operation: &Operation, components: &mut Components) -> Option<Value> {
    let (name, example) = match operation.body {
        Some(_) if operation.method == Verb::Get => return None,
        Some(name) => {
            let mut example = examples::of_body(name);
            if let Some(fields) = example.as_mut().and_then(Value::as_object_mut) {
                fields.retain(|name, _| !is_outside(operation, name));
            }
            (over_http(operation, name, components), example)
        }
        None if operation.is_batch() => ("Batch".to_owned(), Some(examples::batch())),
        None => return None,
    };
    let schema = components.get(&name);
    let is_required = schema["type"] == "array" || required(schema).next().is_some();
    let mut media = json!({ "schema": components.reference(&name) });
    if let Some(example) = example {
        media["example"] = example;
    }
    Some(json!({ "required": is_required, "content": { "application/json": media } }))
}

/// True for a field that stands in the path or in a required header.
fn is_outside(operation: &Operation, name: &str) -> bool {
    operation.path_names().chain(["lease_epoch"]).any(|outside| outside == name)
}

/// The name of the body of a request over HTTP: the command without the fields that the path or a required header contains.
fn over_http(operation: &Operation, name: &str, components: &mut Components) -> String {
    let mut schema = components.get(name).clone();
    let left: Vec<_> =
        required(&schema).filter(|name| !is_outside(operation, name)).map(str::to_owned).collect();
    let Some(properties) = schema["properties"].as_object_mut() else { return name.to_owned() };
    let count = properties.len();
    properties.retain(|name, _| !is_outside(operation, name));
    if properties.len() == count {
        return name.to_owned();
    }
    schema["required"] = json!(left);
    let name = format!("{}Body", pascal(name));
    components.insert(name.clone(), schema);
    name
}

fn responses(operation: &Operation, components: &Components) -> Value {
    let mut responses = Map::new();
    for status in operation.statuses {
        let headers = match operation.answer {
            Answer::Entity(_) | Answer::Receipt(_) => {
                &["capstan-correlation-id", "capstan-position", "etag"][..]
            }
            Answer::View(_) | Answer::List(_) => &["capstan-correlation-id", "capstan-position"],
            Answer::Object(_) | Answer::Maybe(_) | Answer::Array(_) | Answer::Stream | Answer::Text(_) => {
                &["capstan-correlation-id"]
            }
        };
        // The secret of a token is shown once, at its creation.
        let has_secret = operation.answer == Answer::Receipt("token") && *status == 201;
        let follows = operation.takes_preferences().then_some("preference-applied");
        let headers = headers.iter().copied().chain(has_secret.then_some("cache-control")).chain(follows);
        let headers: Map<String, Value> = headers.map(|name| (name.to_owned(), header(name))).collect();
        let mut response = json!({ "description": description(operation, *status), "headers": headers });
        let (media, schema) = content(operation, components);
        response["content"] = json!({ media: { "schema": schema } });
        responses.insert(status.to_string(), response);
    }
    if operation.name == "GetReadiness" {
        responses.insert("503".to_owned(), json!({
            "description": "a readiness check failed", "headers": { "capstan-correlation-id": header("capstan-correlation-id") }, "content": { "application/json": { "schema": components.reference("readiness") } },
        }));
    }
    for status in problems(operation, components) {
        responses
            .entry(status.to_string())
            .or_insert_with(|| json!({ "$ref": format!("#/components/responses/Problem{status}") }));
    }
    Value::Object(responses)
}

fn header(name: &str) -> Value {
    json!({ "$ref": format!("#/components/headers/{}", pascal(name)) })
}

fn description(operation: &Operation, status: u16) -> &'static str {
    match (operation.answer, status) {
        (_, 201) => "created",
        (_, 202) => "accepted",
        (Answer::Receipt(_), _) => "the command took effect, or had taken it before",
        _ => "the answer",
    }
}

/// The media type and the schema of a successful response.
pub(crate) fn content(operation: &Operation, components: &Components) -> (&'static str, Value) {
    let schema = match operation.answer {
        Answer::Entity(name) | Answer::View(name) | Answer::Object(name) => components.reference(name),
        Answer::Maybe(name) => or_null(&components.reference(name)),
        Answer::Array(name) => json!({ "type": "array", "items": components.reference(name) }),
        Answer::List(name) => components.reference(&page_name(name)),
        Answer::Receipt(entity) => components.reference(&reply_name(entity)),
        Answer::Stream => return ("text/event-stream", components.reference("live-frame")),
        Answer::Text(media) if media.ends_with("json") => {
            return (media, json!({ "type": "object", "additionalProperties": {} }));
        }
        Answer::Text(media) => return (media, json!({ "type": "string" })),
    };
    ("application/json", schema)
}

/// The statuses of problems an operation may answer.
fn problems(operation: &Operation, components: &Components) -> BTreeSet<u16> {
    let mut statuses = BTreeSet::from([400, 404, 500, 503]);
    if operation.scope != Scope::Public {
        statuses.extend([401, 403, 408, 422, 429]);
    }
    if operation.is_query() {
        statuses.extend([409, 504]);
    }
    if operation.method != Verb::Get {
        statuses.extend([409, 413, 415]);
    }
    let fields = operation.body.map(|name| &components.get(name)["properties"]);
    if fields.is_some_and(|fields| fields.get("expected_version").is_some()) {
        statuses.insert(412);
    }
    statuses
}

pub(super) fn problem_responses(components: &Components) -> Map<String, Value> {
    let statuses: BTreeSet<u16> = Code::ALL.iter().map(|code| code.status()).collect();
    let responses = statuses.into_iter().map(|status| {
        let codes = Code::ALL.iter().filter(|code| code.status() == status);
        let codes: Vec<_> = codes.map(|code| format!("`{}`", code.as_str())).collect();
        let schema = components.reference("problem");
        let mut response = json!({
            "description": codes.join(", "),
            "content": { crate::problem::MEDIA_TYPE: { "schema": schema } },
        });
        let name = match status {
            401 => Some("www-authenticate"),
            405 => Some("allow"),
            429 | 503 | 504 => Some("retry-after"),
            _ => None,
        };
        let names = std::iter::once("capstan-correlation-id").chain(name);
        response["headers"] = names.map(|name| (name.to_owned(), header(name))).collect();
        (format!("Problem{status}"), response)
    });
    responses.collect()
}

pub(super) fn response_headers() -> Value {
    let text =
        |about: &str| json!({ "description": about, "required": true, "schema": { "type": "string" } });
    json!({
        "CapstanPosition": text("The log position that this response shows. Responses that show none have no such header."),
        "CapstanCorrelationId": text("The id of this request in logs and problem documents."),
        "Etag": text("The version of the entity, for `If-Match`."),
        "RetryAfter": { "description": "Seconds to wait.", "required": true, "schema": { "type": "integer" } },
        "WwwAuthenticate": text("The authentication scheme."),
        "Allow": text("The methods of the route."),
        "PreferenceApplied": {
            "description": "`return=minimal`, where the reply has no entity because `Prefer` asked for none.",
            "required": false, "schema": { "type": "string", "const": MINIMAL },
        },
        "CacheControl": text("`no-store`: the response has a secret."),
    })
}
