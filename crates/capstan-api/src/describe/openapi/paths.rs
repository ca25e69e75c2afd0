//! The paths of the document: one entry for each operation.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::components::{Components, pascal, required};
use super::examples;
use super::responses::{or_null, page_name, reply_name};
use crate::operation::{Answer, Operation, Scope, Verb};
use crate::problem::Code;
use capstan_contract::beside::Beside;
use capstan_contract::command::Conditions;

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
        "parameters": parameters(operation, components),
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

fn parameters(operation: &Operation, components: &Components) -> Vec<Value> {
    let fields = operation.body.and_then(|name| components.get(name)["properties"].as_object());
    let mut parameters: Vec<_> = operation
        .path_names()
        .map(|name| in_path(operation, name, fields.and_then(|fields| fields.get(name))))
        .collect();
    // A command that has no body by custom takes its fields as parameters too.
    if matches!(operation.method, Verb::Get | Verb::Delete) {
        let is_parameter = |name: &str| {
            operation.path_names().all(|part| part != name) && !Conditions::NAMES.contains(&name)
        };
        let fields = fields.into_iter().flatten().filter(|(name, _)| is_parameter(name));
        parameters.extend(fields.map(|(name, field)| in_query(name, field)));
    }
    let header = |name: &str| json!({ "$ref": format!("#/components/parameters/{name}") });
    if operation.path.contains("{attempt_id}") {
        parameters.push(header("LeaseEpoch"));
    }
    let is_under_right = ["{attempt_id}", "{claim}"].iter().any(|part| operation.path.contains(part));
    if operation.bus.is_some() || is_under_right {
        parameters.push(header("IdempotencyKey"));
        parameters.push(header("CommandId"));
    }
    if operation.bus.is_some() {
        parameters.push(header("IfMatch"));
    }
    if matches!(operation.answer, Answer::Stream) {
        parameters.push(header("LastEventId"));
    }
    parameters
}

/// A part of the path; `field` is the field of the request it fills.
fn in_path(operation: &Operation, name: &str, field: Option<&Value>) -> Value {
    let uuid = json!({ "type": "string", "format": "uuid" });
    let (mut schema, about) = match (name, field) {
        ("workspace", _) => (
            json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]{1,128}$", "example": "dev" }),
            "The name of the workspace.".into(),
        ),
        (_, Some(field)) => described(field),
        ("attempt_id", None) => (json!({ "type": "string" }), "The id of the attempt, as leased.".into()),
        ("claim" | "name" | "code" | "dead_letter_id", None) => {
            (json!({ "type": "string" }), "Its name.".into())
        }
        _ => (uuid, "Its id.".into()),
    };
    if schema["type"] == "string" && schema.as_object().is_some_and(|schema| schema.len() == 1) {
        schema["minLength"] = json!(1);
    }
    debug_assert!(operation.path.contains(name), "only names of the path are shown");
    json!({ "name": name, "in": "path", "required": true, "description": about, "schema": schema })
}

fn in_query(name: &str, field: &Value) -> Value {
    let (mut schema, about) = described(field);
    if schema["type"] == "object" {
        // A map is a list of pairs.
        schema = json!({ "type": "array", "items": { "type": "string", "pattern": "^[^:,]+:[^,]*$" } });
    }
    let is_list = schema["type"] == "array";
    let mut shown = json!({ "name": name, "in": "query", "description": about, "schema": schema });
    if is_list {
        shown["style"] = json!("form");
        shown["explode"] = json!(false);
    }
    shown
}

/// The schema of a field as a parameter, which cannot be null, and its description.
fn described(field: &Value) -> (Value, Value) {
    let mut schema = field.clone();
    let mut about = Value::Null;
    if let Some(map) = schema.as_object_mut() {
        about = map.remove("description").unwrap_or_default();
        map.retain(|name, value| name != "default" || value.is_boolean());
        if let Some(kinds) = map.get("type").and_then(Value::as_array) {
            let kind = kinds.iter().find(|kind| *kind != "null").cloned();
            map.insert("type".to_owned(), kind.unwrap_or_default());
        }
        let meant = map.get("anyOf").and_then(|branches| {
            branches.as_array()?.iter().find(|branch| branch["type"] != "null").cloned()
        });
        if let Some(meant) = meant {
            schema = meant;
        }
    }
    if schema["format"] == "uint32" {
        schema["maximum"] = json!(u32::MAX);
    }
    (schema, about)
}

fn body(operation: &Operation, components: &mut Components) -> Option<Value> {
    let (name, example) = match operation.body {
        Some(_) if operation.method == Verb::Get => return None,
        Some(name) => (over_http(operation, name, components), examples::of_body(name)),
        None if operation.name == "ExecuteBatch" => ("Batch".to_owned(), Some(examples::batch())),
        None if operation.method == Verb::Get => return None,
        None => {
            components
                .insert("NoFields".to_owned(), json!({ "type": "object", "additionalProperties": false }));
            ("NoFields".to_owned(), None)
        }
    };
    let schema = components.get(&name);
    let is_required = schema["type"] == "array" || required(schema).next().is_some();
    let mut media = json!({ "schema": components.reference(&name) });
    if let Some(example) = example {
        media["example"] = example;
    }
    Some(json!({ "required": is_required, "content": { "application/json": media } }))
}

/// The name of the body of a request over HTTP: the command without the fields that the path or a required header contains.
fn over_http(operation: &Operation, name: &str, components: &mut Components) -> String {
    let mut schema = components.get(name).clone();
    let is_outside =
        |name: &str| operation.path_names().chain(["lease_epoch"]).any(|outside| outside == name);
    let left: Vec<_> = required(&schema).filter(|name| !is_outside(name)).map(str::to_owned).collect();
    let Some(properties) = schema["properties"].as_object_mut() else { return name.to_owned() };
    let count = properties.len();
    properties.retain(|name, _| !is_outside(name));
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
            Answer::Object(_) | Answer::Receipt(_) => {
                &["capstan-position", "capstan-correlation-id", "etag"][..]
            }
            _ => &["capstan-position", "capstan-correlation-id"],
        };
        let headers: Map<String, Value> =
            headers.iter().map(|name| ((*name).to_owned(), header(name))).collect();
        let mut response = json!({ "description": description(*status), "headers": headers });
        let (media, schema) = content(operation, components);
        response["content"] = json!({ media: { "schema": schema } });
        responses.insert(status.to_string(), response);
    }
    if operation.name == "GetReadiness" {
        responses.insert("503".to_owned(), json!({
            "description": "a readiness check failed", "content": { "application/json": { "schema": components.reference("readiness") } },
        }));
    }
    for status in problems(operation) {
        responses
            .entry(status.to_string())
            .or_insert_with(|| json!({ "$ref": format!("#/components/responses/Problem{status}") }));
    }
    Value::Object(responses)
}

fn header(name: &str) -> Value {
    json!({ "$ref": format!("#/components/headers/{}", pascal(name)) })
}

fn description(status: u16) -> &'static str {
    match status {
        201 => "created",
        202 => "accepted",
        _ => "done",
    }
}

/// The media type and the schema of a successful response.
pub(crate) fn content(operation: &Operation, components: &Components) -> (&'static str, Value) {
    let schema = match operation.answer {
        Answer::Object(name) => components.reference(name),
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
fn problems(operation: &Operation) -> BTreeSet<u16> {
    let mut statuses = BTreeSet::from([400, 404, 500, 503]);
    if operation.scope != Scope::Public {
        statuses.extend([401, 403, 408, 422, 429]);
    }
    if operation.is_query() {
        statuses.extend([409, 504]);
    }
    if operation.method != Verb::Get {
        statuses.extend([409, 413]);
    }
    if operation.bus.is_some() {
        statuses.insert(412);
    }
    statuses
}

pub(super) fn shared_responses(components: &Components) -> Value {
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
            429 | 503 | 504 => Some("retry-after"),
            _ => None,
        };
        if let Some(name) = name {
            response["headers"] = json!({ name: header(name) });
        }
        (format!("Problem{status}"), response)
    });
    Value::Object(responses.collect())
}

pub(super) fn shared_headers() -> Value {
    let text = |about: &str| json!({ "description": about, "schema": { "type": "string" } });
    json!({
        "CapstanPosition": text("The log position of this response."),
        "CapstanCorrelationId": text("The id of this request in logs and problem documents."),
        "Etag": text("The version of the entity, for `If-Match`."),
        "RetryAfter": { "description": "Seconds to wait.", "schema": { "type": "integer" } },
        "WwwAuthenticate": text("The authentication scheme."),
    })
}

pub(super) fn shared_parameters() -> Value {
    let header = |name: &str, about: &str, schema: Value, required: bool| json!({ "name": name, "in": "header", "description": about, "required": required, "schema": schema });
    let uuid = json!({ "type": "string", "format": "uuid" });
    let number = json!({ "type": "integer", "minimum": 0 });
    let text = json!({ "type": "string", "pattern": "^[!-~]{1,512}$" });
    let version = json!({ "type": "string", "pattern": "^(\\*|\"[0-9]{1,18}\")$" });
    let event = json!({ "type": "string", "minLength": 1 });
    json!({
        "IdempotencyKey": header("Idempotency-Key", "A repeat with the same key is the same command.", text, false),
        "CommandId": header("Capstan-Command-Id", "The id of the command, chosen by the caller.", uuid, false),
        "IfMatch": header("If-Match", "Executes only when the entity is at this version, as in `ETag`.", version, false),
        "LeaseEpoch": header("Capstan-Lease-Epoch", "The epoch of the lease.", number, true),
        "LastEventId": header("Last-Event-ID", "Resumes after the frame with this id.", event, false),
    })
}
