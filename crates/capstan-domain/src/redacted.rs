//! What reads show in place of a secret, and how it is kept from coming back as a value.

use serde_json::{Map, Value};

use crate::Faults;

/// Stands in reads where a secret is.
pub const PLACEHOLDER: &str = "[REDACTED]";

/// Notes every placeholder in a map: whoever sends back what was read would else overwrite the secret with it.
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
                "stands for a value that reads hide; leave the field out, or give the value itself",
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
