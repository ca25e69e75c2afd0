//! The JSON Schemas of everything on the wire.

use capstan_domain::change::CLEARS;
use capstan_domain::implied::NOT_STORED;
use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};

pub(crate) mod envelope;

/// A wire name and the JSON Schema of what it names.
#[derive(Clone, Copy, Debug)]
pub struct NamedSchema {
    /// The wire name.
    pub name: &'static str,
    draw: fn(&str) -> Value,
}

impl NamedSchema {
    /// The schema of an answer: only fields that may be left out are not required.
    pub const fn of_answer<T: JsonSchema>(name: &'static str) -> Self {
        Self { name, draw: drawn_as_written::<T> }
    }

    /// The schema of a request with the fields beside it, see [`request_schema_of`].
    pub const fn of_request<T: JsonSchema, B: JsonSchema>(name: &'static str) -> Self {
        Self { name, draw: request_schema_of::<T, B> }
    }

    /// Draws the schema.
    pub fn schema(&self) -> Value {
        (self.draw)(self.name)
    }
}

/// The schema of one shape as it is read: fields that may be absent are not required.
pub(crate) fn schema_of<T: JsonSchema>(title: &str) -> Value {
    drawn::<T>(settings().for_deserialize(), title)
}

/// The schema of an event or an answer as callers get it: with every field that a stored form may leave out.
pub(crate) fn drawn_as_written<T: JsonSchema>(title: &str) -> Value {
    drawn::<T>(settings().with_transform(RecursiveTransform(whole)).for_serialize(), title)
}

/// Draws an object as it is outside the log.
fn whole(schema: &mut Schema) {
    let implied = strip(schema);
    if implied.is_empty() {
        return;
    }
    match schema.get_mut("required").and_then(Value::as_array_mut) {
        Some(required) => required.extend(implied),
        None => drop(schema.insert("required".to_owned(), implied.into())),
    }
}

/// Takes the words on the stored form out of the fields of an object. Gives those that are never absent outside the log.
fn strip(schema: &mut Schema) -> Vec<Value> {
    let mut implied = Vec::new();
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (name, property) in properties.into_iter().flatten() {
        let description = property.get("description").and_then(Value::as_str);
        let Some(described) = description.and_then(|text| text.strip_suffix(NOT_STORED)) else { continue };
        property["description"] = described.into();
        let is_null = |part: &Value| part["type"] == "null";
        // A list is left out everywhere when it is empty.
        let may_be_absent = property["type"] == "array"
            || property["type"].as_array().is_some_and(|types| types.contains(&"null".into()))
            || property["anyOf"].as_array().is_some_and(|parts| parts.iter().any(is_null));
        if !may_be_absent {
            implied.push(Value::from(name.as_str()));
        }
    }
    implied
}

/// The schema of a request as it is read: its own fields and those beside it, in one closed object. Requests are read
/// strictly at every depth, also where a value's type tolerates unknown fields because events hold it.
pub fn request_schema_of<T: JsonSchema, B: JsonSchema>(title: &str) -> Value {
    let is_request = |schema: &mut Schema| drop(strip(schema));
    let settings = settings().with_transform(RecursiveTransform(is_request)).for_deserialize();
    let settings = settings.with_transform(RecursiveTransform(bound));
    let mut generator = settings.into_generator();
    let beside = generator.root_schema_for::<B>().to_value();
    let mut schema = generator.into_root_schema_for::<T>();
    schema.insert("title".to_owned(), title.into());
    RecursiveTransform(close).transform(&mut schema);
    let mut schema = schema.to_value();
    for part in ["properties", "$defs"] {
        let Some(Value::Object(added)) = beside.get(part) else { continue };
        if let Value::Object(present) = &mut schema[part] {
            present.extend(added.clone());
        } else {
            schema[part] = Value::Object(added.clone());
        }
    }
    if let Some(Value::Array(added)) = beside.get("required") {
        if let Value::Array(present) = &mut schema["required"] {
            present.extend(added.clone());
        } else {
            schema["required"] = Value::Array(added.clone());
        }
    }
    schema
}

fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with_transform(RecursiveTransform(readable_by_generators))
}

/// Draws what generators of clients stumble over in a form they read: any value as an object schema instead of `true`,
/// and a choice of words as one `enum` instead of a `oneOf` of constants.
fn readable_by_generators(schema: &mut Schema) {
    schema.remove(CLEARS);
    if schema.as_bool() == Some(true) {
        schema.insert("description".to_owned(), "Any JSON value.".into());
    }
    let Some(choices) = schema.get("oneOf").and_then(Value::as_array) else { return };
    let mut words = Vec::new();
    let mut meanings = String::new();
    for choice in choices {
        let of_choice = match (&choice["const"], &choice["enum"]) {
            (word @ Value::String(_), _) => std::slice::from_ref(word),
            (_, Value::Array(words)) => words,
            _ => return,
        };
        if let (Some(meaning), [Value::String(word)]) = (choice["description"].as_str(), of_choice) {
            meanings.push_str(&format!("\n- `{word}`: {meaning}"));
        }
        words.extend_from_slice(of_choice);
    }
    schema.remove("oneOf");
    schema.insert("type".to_owned(), json!("string"));
    schema.insert("enum".to_owned(), Value::Array(words));
    if !meanings.is_empty() {
        let about = schema.get("description").and_then(Value::as_str).unwrap_or_default();
        let described = format!("{about}\n{meanings}").trim_start().to_owned();
        schema.insert("description".to_owned(), described.into());
    }
}

/// Refuses undeclared fields of an object whose fields are declared.
fn close(schema: &mut Schema) {
    let declares =
        schema.get("properties").is_some() || schema.get("type").is_some_and(|kind| kind == "object");
    if declares && schema.get("additionalProperties").is_none() {
        schema.insert("additionalProperties".to_owned(), false.into());
    }
}

/// States the bounds of whole numbers, which their format only implies.
fn bound(schema: &mut Schema) {
    let (min, max) = match schema.get("format").and_then(Value::as_str) {
        Some("int32") => (json!(i32::MIN), json!(i32::MAX)),
        Some("int64") => (json!(i64::MIN), json!(i64::MAX)),
        Some("uint32") => (json!(u32::MIN), json!(u32::MAX)),
        Some("uint64") => (json!(u64::MIN), json!(u64::MAX)),
        _ => return,
    };
    for (keyword, limit) in [("minimum", min), ("maximum", max)] {
        if schema.get(keyword).is_none() {
            schema.insert(keyword.to_owned(), limit);
        }
    }
}

fn drawn<T: JsonSchema>(settings: SchemaSettings, title: &str) -> Value {
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.insert("title".to_owned(), title.into());
    schema.to_value()
}
