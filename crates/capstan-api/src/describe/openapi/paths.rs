//! The paths of the document: one entry for each operation.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::components::Components;
use super::examples;
use crate::operation::query_parameter::{self, OF_READS, ParameterKind, QueryParameter};
use crate::operation::{Answer, Operation, Scope, Verb};
use crate::problem::Code;
use crate::use_case::batch::ITEMS_MAX;
use capstan_contract::command::COMMAND_NAMES;

pub(super) fn draw(operations: &[Operation], components: &Components) -> Value {
    let mut paths = Map::new();
    for operation in operations {
        let methods = paths.entry(operation.path).or_insert_with(|| json!({}));
        let method = operation.method.as_str().to_lowercase();
        methods[method] = one(operation, components);
    }
    Value::Object(paths)
}

fn one(operation: &Operation, components: &Components) -> Value {
    let mut shown = json!({
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [tag(operation)],
        "parameters": parameters(operation),
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

fn tag(operation: &Operation) -> &'static str {
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

fn parameters(operation: &Operation) -> Vec<Value> {
    let mut parameters: Vec<_> = operation.path_names().map(|name| in_path(operation, name)).collect();
    let waits: &[QueryParameter] = if operation.waits_for_position() { OF_READS } else { &[] };
    parameters.extend(query_parameter::of(operation.name).chain(waits).map(in_query));
    let header = |name: &str| json!({ "$ref": format!("#/components/parameters/{name}") });
    if operation.path.contains("{attempt_id}") {
        parameters.push(header("lease-epoch"));
    }
    let is_under_right = ["{attempt_id}", "{claim}"].iter().any(|part| operation.path.contains(part));
    if operation.bus.is_some() || is_under_right {
        parameters.push(header("idempotency-key"));
        parameters.push(header("command-id"));
    }
    if operation.bus.is_some() {
        parameters.push(header("if-match"));
    }
    if matches!(operation.answer, Answer::Stream) {
        parameters.push(header("last-event-id"));
    }
    parameters
}

fn in_path(operation: &Operation, name: &str) -> Value {
    let uuid = json!({ "type": "string", "format": "uuid" });
    let (schema, about) = match name {
        "workspace" => (
            json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]{1,128}$", "example": "dev" }),
            "the name of the workspace",
        ),
        "agent_id" => {
            (json!({ "type": "string", "minLength": 1 }), "the id or key of the agent, or a similar name")
        }
        "attempt_id" => (json!({ "type": "string", "minLength": 1 }), "the id of the attempt, as leased"),
        "channel_type" | "instance_key" | "claim" | "address" | "name" | "code" => {
            (json!({ "type": "string", "minLength": 1 }), "its name")
        }
        _ => (uuid, "its id"),
    };
    debug_assert!(operation.path.contains(name), "only names of the path are shown");
    json!({ "name": name, "in": "path", "required": true, "description": about, "schema": schema })
}

fn in_query(parameter: &QueryParameter) -> Value {
    let schema = schema_of(parameter.kind);
    let mut shown =
        json!({ "name": parameter.name, "in": "query", "description": parameter.summary, "schema": schema });
    if matches!(parameter.kind, ParameterKind::Some(_) | ParameterKind::Words) {
        shown["style"] = json!("form");
        shown["explode"] = json!(false);
    }
    shown
}

/// The schema of a parameter's value; over NATS it is a field of the body.
pub(crate) fn schema_of(kind: ParameterKind) -> Value {
    match kind {
        ParameterKind::Text => json!({ "type": "string" }),
        ParameterKind::Number => json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX }),
        ParameterKind::Flag => json!({ "type": "boolean" }),
        ParameterKind::Instant => json!({ "type": "string", "format": "date-time" }),
        ParameterKind::Id => json!({ "type": "string", "format": "uuid" }),
        ParameterKind::OneOf(words) => json!({ "enum": words }),
        ParameterKind::Some(words) => json!({ "type": "array", "items": { "enum": words } }),
        ParameterKind::Words => json!({ "type": "array", "items": { "type": "string" } }),
    }
}

fn body(operation: &Operation, components: &Components) -> Option<Value> {
    let (schema, example) = match operation.body {
        Some(name) => (over_http(operation, name, components), examples::of_body(name)),
        None if operation.name == "ExecuteBatch" => (
            json!({
                "type": "array",
                "maxItems": ITEMS_MAX,
                "items": {
                    "type": "object",
                    "required": ["type"],
                    "properties": { "type": { "enum": COMMAND_NAMES } },
                },
            }),
            Some(examples::batch()),
        ),
        None if operation.method == Verb::Get => return None,
        None => (json!({ "type": "object", "additionalProperties": false }), None),
    };
    let is_required =
        schema["type"] == "array" || !requirements(&schema).is_empty() || schema.get("$ref").is_some();
    let mut media = json!({ "schema": schema });
    if let Some(example) = example {
        media["example"] = example;
    }
    Some(json!({ "required": is_required, "content": { "application/json": media } }))
}

/// The body of a request over HTTP: without the fields that the path or a required header contains.
fn over_http(operation: &Operation, name: &str, components: &Components) -> Value {
    let Some(whole) = components.schemas.get(name) else { return components.reference(name) };
    let outside = operation.path_names().chain(["lease_epoch"]);
    let outside: Vec<_> = outside.filter(|name| whole["properties"].get(name).is_some()).collect();
    if outside.is_empty() && !requirements(whole).is_empty() {
        return components.reference(name);
    }
    let mut schema = whole.clone();
    if let Some(properties) = schema["properties"].as_object_mut() {
        properties.retain(|name, _| !outside.contains(&name.as_str()));
    }
    let required: Vec<_> = requirements(whole).into_iter().filter(|name| !outside.contains(name)).collect();
    schema["required"] = json!(required);
    schema
}

/// The fields a schema requires.
fn requirements(schema: &Value) -> Vec<&str> {
    schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
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
        let headers: Map<String, Value> = headers
            .iter()
            .map(|name| ((*name).to_owned(), json!({ "$ref": format!("#/components/headers/{name}") })))
            .collect();
        let mut response = json!({ "description": description(*status), "headers": headers });
        if let Some((media, schema)) = content(operation, components) {
            response["content"] = json!({ media: { "schema": schema } });
        }
        responses.insert(status.to_string(), response);
    }
    if operation.name == "GetReadiness" {
        responses.insert("503".to_owned(), json!({
            "description": "a readiness check failed", "content": { "application/json": { "schema": { "type": "object" } } },
        }));
    }
    for status in problems(operation) {
        let name = format!("problem-{status}");
        responses
            .entry(status.to_string())
            .or_insert_with(|| json!({ "$ref": format!("#/components/responses/{name}") }));
    }
    Value::Object(responses)
}

fn description(status: u16) -> &'static str {
    match status {
        201 => "created",
        202 => "accepted",
        _ => "done",
    }
}

#[expect(clippy::unnecessary_wraps, reason = "an answer without content is one kind of answer")]
fn content(operation: &Operation, components: &Components) -> Option<(&'static str, Value)> {
    Some(match operation.answer {
        Answer::Object(name) => ("application/json", components.reference(name)),
        Answer::Maybe(name) => ("application/json", or_null(&components.reference(name))),
        Answer::Array(name) => {
            ("application/json", json!({ "type": "array", "items": components.reference(name) }))
        }
        Answer::List(name) => ("application/json", list(&components.reference(name))),
        Answer::Receipt(entity) => ("application/json", receipt(entity, components)),
        Answer::Json => ("application/json", json!({ "type": "object" })),
        Answer::Stream => ("text/event-stream", json!({ "type": "string" })),
        Answer::Text(media) if media.starts_with("application/") => (media, json!({ "type": "object" })),
        Answer::Text(media) => (media, json!({ "type": "string" })),
    })
}

fn or_null(schema: &Value) -> Value {
    json!({ "anyOf": [schema, { "type": "null" }] })
}

fn list(item: &Value) -> Value {
    json!({
        "type": "object",
        "required": ["items", "position", "limit"],
        "properties": {
            "items": { "type": "array", "items": item },
            "next_cursor": { "type": "string", "description": "Absent on the last page." },
            "position": position(),
            "limit": { "type": "integer", "minimum": 0 },
            "total": { "type": "integer", "minimum": 0, "description": "Objects on all pages, with `count=true`." },
            "total_is_more": { "type": "boolean", "description": "More objects exist than `total`." },
        },
    })
}

fn receipt(entity: &str, components: &Components) -> Value {
    let shown = match entity {
        "cancelled_tasks" => json!({ "type": "array", "items": { "type": "string", "format": "uuid" } }),
        "archived" => components.reference("archived-outputs"),
        "output_id" => json!({ "type": "string", "format": "uuid" }),
        // A claim that finds nothing answers null.
        "input" => or_null(&components.reference("claimed-input")),
        name => components.reference(name),
    };
    let mut schema = json!({
        "type": "object",
        "required": ["receipt"],
        "properties": { "receipt": components.reference("receipt") },
    });
    let properties = &mut schema["properties"];
    properties[entity] = shown;
    if entity == "task" {
        let outcome = components.reference("InputOutcome");
        properties["outcome"] = json!({ "anyOf": [outcome, { "const": "duplicate" }] });
        properties["first_outcome"] = outcome;
        properties["continued"] = json!({ "type": "boolean", "description": "The command became an input of the task of its session." });
        properties["input_id"] = json!({ "type": "string", "format": "uuid" });
    }
    if entity == "token" {
        properties["secret"] =
            json!({ "type": "string", "description": "The whole token, returned only once." });
    }
    schema
}

fn position() -> Value {
    json!({ "$ref": "#/components/schemas/Position" })
}

/// The statuses of problems an operation may answer.
fn problems(operation: &Operation) -> BTreeSet<u16> {
    let mut statuses = BTreeSet::from([400, 404, 500, 503]);
    if operation.scope != Scope::Public {
        statuses.extend([401, 403, 408, 422, 429]);
    }
    if operation.waits_for_position() {
        statuses.extend([409, 504]);
    }
    if operation.method != Verb::Get {
        statuses.extend([409, 412, 413]);
    }
    statuses
}

pub(super) fn shared_responses() -> Value {
    let statuses: BTreeSet<u16> = Code::ALL.iter().map(|code| code.status()).collect();
    let responses = statuses.into_iter().map(|status| {
        let codes = Code::ALL.iter().filter(|code| code.status() == status);
        let codes: Vec<_> = codes.map(|code| format!("`{}`", code.as_str())).collect();
        let schema = json!({ "$ref": "#/components/schemas/problem" });
        let mut response = json!({
            "description": codes.join(", "),
            "content": { crate::problem::MEDIA_TYPE: { "schema": schema } },
        });
        let header = match status {
            401 => Some("www-authenticate"),
            429 | 503 | 504 => Some("retry-after"),
            _ => None,
        };
        if let Some(header) = header {
            response["headers"] = json!({ header: { "$ref": format!("#/components/headers/{header}") } });
        }
        (format!("problem-{status}"), response)
    });
    Value::Object(responses.collect())
}

pub(super) fn shared_headers() -> Value {
    let text = |about: &str| json!({ "description": about, "schema": { "type": "string" } });
    json!({
        "capstan-position": text("The log position of this response."),
        "capstan-correlation-id": text("The id of this request in logs and problem documents."),
        "etag": text("The version of the entity, for `If-Match`."),
        "retry-after": { "description": "Seconds to wait.", "schema": { "type": "integer" } },
        "www-authenticate": text("The authentication scheme."),
    })
}

pub(super) fn shared_parameters() -> Value {
    let header = |name: &str, about: &str, schema: Value, required: bool| json!({ "name": name, "in": "header", "description": about, "required": required, "schema": schema });
    let uuid = json!({ "type": "string", "format": "uuid" });
    let number = json!({ "type": "integer", "minimum": 0 });
    let text = json!({ "type": "string", "pattern": "^[!-~]{1,512}$" });
    let version = json!({ "type": "string", "pattern": "^(\\*|\"[0-9]{1,18}\")$" });
    let event = json!({ "type": "string", "pattern": "^[0-9]{1,18}$" });
    json!({
        "idempotency-key": header("Idempotency-Key", "A repeat with the same key is the same command.", text, false),
        "command-id": header("Capstan-Command-Id", "The id of the command, chosen by the caller.", uuid, false),
        "if-match": header("If-Match", "Executes only when the entity is at this version, as in `ETag`.", version, false),
        "lease-epoch": header("Capstan-Lease-Epoch", "The epoch of the lease.", number, true),
        "last-event-id": header("Last-Event-ID", "Resumes after the frame with this id.", event, false),
    })
}
