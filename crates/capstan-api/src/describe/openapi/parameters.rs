//! The parameters of an operation: parts of its path, fields of its query string, and headers.

use capstan_contract::beside::Beside;
use capstan_contract::command::Conditions;
use serde_json::{Value, json};

use super::components::{Components, PLACE};
use crate::http::fields::MIN_POSITION;
use crate::operation::{Answer, Operation, Verb};

pub(super) fn of(operation: &Operation, components: &Components) -> Vec<Value> {
    let fields = operation.body.and_then(|name| components.get(name)["properties"].as_object());
    let field = |name: &str| fields.and_then(|fields| fields.get(name));
    let mut parameters: Vec<_> = operation.path_names().map(|name| in_path(name, field(name))).collect();
    // A command that has no body by custom takes its fields as parameters too.
    if matches!(operation.method, Verb::Get | Verb::Delete) {
        let is_parameter = |name: &str| {
            operation.path_names().all(|part| part != name) && !Conditions::NAMES.contains(&name)
        };
        let fields = fields.into_iter().flatten().filter(|(name, _)| is_parameter(name));
        parameters.extend(fields.map(|(name, field)| in_query(name, field)));
    }
    parameters.extend(headers(operation, field("min_position").is_some()));
    parameters
}

fn headers(operation: &Operation, can_wait: bool) -> Vec<Value> {
    let uuid = json!({ "type": "string", "format": "uuid" });
    let number = json!({ "type": "integer", "minimum": 0 });
    let key = json!({ "type": "string", "pattern": "^[!-~]{1,512}$" });
    let version = json!({ "type": "string", "pattern": "^(\\*|\"[0-9]{1,18}\")$" });
    let text = json!({ "type": "string", "minLength": 1 });
    let is_under_lease = operation.path.contains("{attempt_id}");
    let is_under_right = is_under_lease || operation.path.contains("{claim}");
    let is_command = operation.bus.is_some();
    let mut headers = Vec::new();
    let mut add = |name: &str, about: &str, schema: &Value, required: bool| {
        headers.push(json!({ "name": name, "in": "header", "description": about, "required": required, "schema": schema }));
    };
    if is_under_lease {
        add("Capstan-Lease-Epoch", "The epoch of the lease.", &number, true);
    }
    if is_command || is_under_right {
        add("Idempotency-Key", "A repeat with the same key is the same command.", &key, false);
        add("Capstan-Command-Id", "The id of the command, chosen by the caller.", &uuid, false);
    }
    if operation.is_batch() {
        let about = "The key, followed by `/` and its place, of each command without a key of its own.";
        add("Idempotency-Key", about, &key, false);
    }
    if is_command {
        let about = "Executes only when the entity is at this version, as in `ETag`.";
        add("If-Match", about, &version, false);
    }
    if can_wait {
        let position = json!({ "$ref": format!("{PLACE}Position") });
        let [own, of_response] = MIN_POSITION;
        add(own, "Stands for `min_position`, unless the query string has one.", &position, false);
        let about = format!("The same, as an earlier response states it; `{own}` precedes it.");
        add(of_response, &about, &position, false);
    }
    if matches!(operation.answer, Answer::Stream) {
        add("Last-Event-ID", "Resumes after the frame with this id.", &text, false);
    }
    headers
}

/// A part of the path; `field` is the field of the request it fills.
fn in_path(name: &str, field: Option<&Value>) -> Value {
    let (mut schema, about) = match (name, field) {
        ("workspace", _) => (
            json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]{1,128}$", "example": "dev" }),
            "The name of the workspace.".into(),
        ),
        (_, Some(field)) => described(field),
        (_, None) => (json!({ "type": "string" }), format!("The {}.", name.replace('_', " ")).into()),
    };
    if schema["type"] == "string" && schema.as_object().is_some_and(|schema| schema.len() == 1) {
        schema["minLength"] = json!(1);
    }
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
