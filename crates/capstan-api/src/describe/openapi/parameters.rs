//! The parameters of an operation: parts of its path, fields of its query string, and headers.

use capstan_contract::beside::{Beside, HEADERS};
use capstan_contract::command::{BatchConditions, Conditions, IdempotencyKey};
use serde_json::{Value, json};

use super::components::{Components, PLACE};
use crate::operation::{Operation, Verb};
use crate::prefer::{MINIMAL, PREFER};

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
    let has = |name: &str| match fields {
        Some(fields) => fields.contains_key(name),
        None => operation.is_batch() && BatchConditions::NAMES.contains(&name),
    };
    parameters.extend(headers(operation, has));
    if operation.takes_preferences() {
        parameters.push(json!({
            "name": PREFER, "in": "header", "required": false, "schema": { "type": "string", "example": MINIMAL },
            "description": "RFC 7240; with `return=minimal` the reply has no entity, and waits for none.",
        }));
    }
    parameters
}

/// The form of a header's text that is not blank: no control characters, and something visible.
const NOT_BLANK: &str = r"^[^\u0000-\u001f\u007f]*[^\s\u0000-\u001f\u007f][^\u0000-\u001f\u007f]*$";

/// The headers that stand for fields beside the request.
fn headers(operation: &Operation, has: impl Fn(&str) -> bool) -> Vec<Value> {
    let about = |header: &str, field: &str| match field {
        "idempotency_key" if operation.is_batch() => {
            "The key, followed by `/` and its place, of each command without a key of its own.".to_owned()
        }
        "idempotency_key" => "A repeat with the same key is the same command.".to_owned(),
        "command_id" => "The id of the command, chosen by the caller.".to_owned(),
        "expected_version" => "Executes only when the entity is at this version, as in `ETag`.".to_owned(),
        "lease_epoch" => "The epoch of the lease.".to_owned(),
        "last_event_id" => "Resumes after the frame with this id.".to_owned(),
        field => format!("`{header}` stands for `{field}`."),
    };
    let schema = |field: &str| match field {
        "idempotency_key" => json!({
            "type": "string", "minLength": 1, "maxLength": IdempotencyKey::CHARACTERS_MAX, "pattern": NOT_BLANK,
        }),
        "command_id" => json!({ "type": "string", "format": "uuid" }),
        "expected_version" => json!({ "type": "string", "pattern": "^(\"[0-9]{1,18}\"|[0-9]{1,18})$" }),
        "lease_epoch" => json!({ "type": "integer", "minimum": 0 }),
        "min_position" => json!({ "$ref": format!("{PLACE}Position") }),
        _ => json!({ "type": "string", "minLength": 1 }),
    };
    let drawn = |(header, field): &(&str, &str)| {
        json!({
            "name": header, "in": "header", "description": about(header, field),
            "required": *field == "lease_epoch", "schema": schema(field),
        })
    };
    HEADERS.iter().filter(|(_, field)| has(field)).map(drawn).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json_schema;
    use crate::operations;

    const DOCUMENT: &str = include_str!("../../../../../schemas/openapi.json");

    #[test]
    fn the_schemas_of_headers_take_what_the_product_takes() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let cancel = operations().iter().find(|operation| operation.name == "CancelTask").unwrap();
        let parameters = &document["paths"][cancel.path]["post"]["parameters"];
        let schema = |header: &str| {
            let resolved = parameters.as_array().unwrap().iter().map(|parameter| {
                let place = parameter["$ref"].as_str().map(|place| place.trim_start_matches('#'));
                place.and_then(|place| document.pointer(place)).unwrap_or(parameter)
            });
            let found = resolved.clone().find(|parameter| parameter["name"] == header).unwrap();
            json_schema::options().build(&found["schema"]).unwrap()
        };
        let key = schema("Idempotency-Key");
        let (long, longer) = ("\u{e9}".repeat(512), "k".repeat(513));
        for text in ["k", "\u{e9}", "a b", " ", "", &long, &longer] {
            assert_eq!(key.is_valid(&json!(text)), text.parse::<IdempotencyKey>().is_ok(), "{text}");
        }
        let version = schema("If-Match");
        assert!(version.is_valid(&json!("\"3\"")) && version.is_valid(&json!("3")));
        assert!(!version.is_valid(&json!("*")) && !version.is_valid(&json!("\"3")));
    }
}
