//! JSON Schema, for bodies of requests and for the answers a question accepts.

use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::{Draft, PatternOptions, ValidationError, ValidationOptions};
use serde_json::Value;

/// An example says more than the name of a standard.
pub(crate) const TIME: &str = "must be a time such as 2030-01-31T09:30:00Z";
/// An example says more than the name of a form.
pub(crate) const UUID: &str = "must be a UUID such as 01890a5d-ac96-774b-bcce-b302099a8057";
/// The message of a fault without a more exact one.
pub(crate) const SHAPE: &str = "does not have the expected shape";

/// Options of a validator: it fetches nothing from outside the schema, and its patterns take linear time.
pub(crate) fn options() -> ValidationOptions<'static> {
    jsonschema::options().with_draft(Draft::Draft202012).with_pattern_options(PatternOptions::regex())
}

/// A fault of a value, or of a schema, in plain words and without the value.
pub(crate) fn in_words(error: &ValidationError<'_>) -> String {
    match error.kind() {
        Kind::Type { kind } => of_kind(kind).to_owned(),
        Kind::Enum { options } => one_of(options.as_array().into_iter().flatten().map(text)),
        Kind::Constant { expected_value } => format!("must be {}", text(expected_value)),
        Kind::Format { format } if format == "uuid" => UUID.to_owned(),
        Kind::Format { format } if format == "date-time" => TIME.to_owned(),
        Kind::Format { format } => format!("must have the format {format}"),
        Kind::Pattern { pattern } => format!("must match the pattern {pattern}"),
        Kind::MaxLength { limit } => {
            format!("must have at most {}", counted(*limit, "character", "characters"))
        }
        Kind::MinLength { limit } => {
            format!("must have at least {}", counted(*limit, "character", "characters"))
        }
        Kind::MaxItems { limit } => format!("must have at most {}", counted(*limit, "item", "items")),
        Kind::AdditionalItems { limit } => {
            format!("must have at most {}", counted(*limit as u64, "item", "items"))
        }
        Kind::MinItems { limit } => format!("must have at least {}", counted(*limit, "item", "items")),
        Kind::MaxProperties { limit } => format!("must have at most {}", counted(*limit, "entry", "entries")),
        Kind::MinProperties { limit } => {
            format!("must have at least {}", counted(*limit, "entry", "entries"))
        }
        Kind::Minimum { limit } => format!("must be {limit} or more"),
        Kind::Maximum { limit } => format!("must be {limit} or less"),
        Kind::ExclusiveMinimum { limit } => format!("must be more than {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("must be less than {limit}"),
        Kind::MultipleOf { multiple_of } => format!("must be a multiple of {multiple_of}"),
        Kind::UniqueItems => "must not have the same item twice".to_owned(),
        Kind::UnevaluatedItems { .. } => "has more items than are allowed".to_owned(),
        Kind::Contains => "has no item of the required form, or too many".to_owned(),
        Kind::Required { property } => format!("{} is required", text(property)),
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            format!("has unknown fields: {}", unexpected.join(", "))
        }
        Kind::PropertyNames { error } => format!("has a name that is not allowed: {}", in_words(error)),
        Kind::AnyOf { .. } | Kind::OneOfNotValid { .. } => "has none of the allowed forms".to_owned(),
        Kind::OneOfMultipleValid { .. } => "has several forms of which only one is allowed".to_owned(),
        Kind::Not { .. } => "has a form that is not allowed".to_owned(),
        Kind::FalseSchema => "must be absent".to_owned(),
        Kind::Referencing(_) => "has a reference that leads nowhere, or outside the schema".to_owned(),
        _ => SHAPE.to_owned(),
    }
}

/// The type a value must have, in plain words.
pub(crate) fn of_type(kind: &str) -> &'static str {
    match kind {
        "integer" => "must be a whole number",
        "number" => "must be a number",
        "string" => "must be a text",
        "boolean" => "must be true or false",
        "array" => "must be a list",
        "object" => "must be an object",
        "null" => "must be null",
        _ => SHAPE,
    }
}

fn of_kind(kind: &TypeKind) -> &'static str {
    match kind {
        TypeKind::Single(kind) => of_type(&kind.to_string()),
        TypeKind::Multiple(kinds) => {
            let kind = kinds.iter().map(|kind| kind.to_string()).find(|kind| kind != "null");
            of_type(&kind.unwrap_or_default())
        }
    }
}

/// A number of things, in words that fit one of them and many.
fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// The words a value may be.
pub(crate) fn one_of(words: impl Iterator<Item = impl AsRef<str>>) -> String {
    let words: Vec<_> = words.collect();
    let words: Vec<_> = words.iter().map(AsRef::as_ref).collect();
    format!("must be one of {}", words.join(", "))
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_fault_is_told_in_words_of_our_own() {
        for (schema, value, words) in [
            (json!({ "type": "null" }), json!(1), "must be null"),
            (json!({ "type": ["null", "integer"] }), json!("x"), "must be a whole number"),
            (json!({ "enum": ["a", 7] }), json!("b"), "must be one of a, 7"),
            (json!({ "const": true }), json!(1), "must be true"),
            (json!({ "pattern": "^a$" }), json!("b"), "must match the pattern ^a$"),
            (json!({ "minItems": 1 }), json!([]), "must have at least 1 item"),
            (json!({ "maxItems": 2 }), json!([1, 2, 3]), "must have at most 2 items"),
            (json!({ "prefixItems": [{}], "items": false }), json!([1, 2]), "must be absent"),
            (json!({ "minProperties": 2 }), json!({}), "must have at least 2 entries"),
            (json!({ "exclusiveMinimum": 3 }), json!(3), "must be more than 3"),
            (json!({ "exclusiveMaximum": 3 }), json!(3), "must be less than 3"),
            (json!({ "multipleOf": 2 }), json!(3), "must be a multiple of 2"),
            (json!({ "uniqueItems": true }), json!([1, 1]), "must not have the same item twice"),
            (
                json!({ "contains": { "const": 1 } }),
                json!([2]),
                "has no item of the required form, or too many",
            ),
            (json!({ "required": ["a"] }), json!({}), "a is required"),
            (
                json!({ "properties": {}, "additionalProperties": false }),
                json!({ "b": 1 }),
                "has unknown fields: b",
            ),
            (
                json!({ "propertyNames": { "maxLength": 1 } }),
                json!({ "bb": 1 }),
                "has a name that is not allowed: must have at most 1 character",
            ),
            (json!({ "anyOf": [{ "type": "null" }] }), json!(1), "has none of the allowed forms"),
            (json!({ "oneOf": [{}, {}] }), json!(1), "has several forms of which only one is allowed"),
            (json!({ "not": {} }), json!(1), "has a form that is not allowed"),
        ] {
            let validator = options().build(&schema).unwrap();
            let told: Vec<_> = validator.iter_errors(&value).map(|error| in_words(&error)).collect();
            assert_eq!(told, [words], "{schema}");
        }
        let nowhere = options().build(&json!({ "$ref": "http://127.0.0.1:1/schema" })).unwrap_err();
        assert_eq!(in_words(&nowhere), "has a reference that leads nowhere, or outside the schema");
    }
}
