//! The placeholder reads show for a secret, and its refusal as a value.

use serde_json::{Map, Value};

use crate::Faults;

/// Replaces a secret in reads.
pub const PLACEHOLDER: &str = "[REDACTED]";

/// Refuses every placeholder in a map: sending back a read would overwrite the secret with it.
pub(crate) fn refuse_placeholders(map: &Map<String, Value>, pointer: &str, faults: &mut Faults) {
    for (key, value) in map {
        refuse(value, &format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1")), faults);
    }
}

fn refuse(value: &Value, pointer: &str, faults: &mut Faults) {
    match value {
        Value::String(text) => {
            faults.require(
                text != PLACEHOLDER,
                pointer,
                "is the placeholder of a hidden value; omit the field, or send the value itself",
            );
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                refuse(item, &format!("{pointer}/{index}"), faults);
            }
        }
        Value::Object(map) => refuse_placeholders(map, pointer, faults),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
