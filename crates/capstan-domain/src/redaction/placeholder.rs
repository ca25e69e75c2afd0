//! The refusal of the placeholder as a value.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::PLACEHOLDER;
use crate::Faults;
use crate::fault::below;

/// Refuses every placeholder in a map a caller stores: sending back a read would overwrite the secret with it.
pub(crate) fn refuse_placeholders(map: &Map<String, Value>, pointer: &str, faults: &mut Faults) {
    for (key, value) in map {
        refuse(value, &below(pointer, key), faults);
    }
}

/// Refuses every placeholder in a list of maps.
pub(crate) fn refuse_placeholders_in_all(maps: &[Map<String, Value>], pointer: &str, faults: &mut Faults) {
    for (index, map) in maps.iter().enumerate() {
        refuse_placeholders(map, &format!("{pointer}/{index}"), faults);
    }
}

/// Refuses every placeholder in a list of values.
pub(crate) fn refuse_placeholders_in_values(values: &[Value], pointer: &str, faults: &mut Faults) {
    for (index, value) in values.iter().enumerate() {
        refuse(value, &format!("{pointer}/{index}"), faults);
    }
}

/// Refuses every placeholder among labels.
pub(crate) fn refuse_placeholder_labels(
    labels: &BTreeMap<String, String>,
    pointer: &str,
    faults: &mut Faults,
) {
    for (name, text) in labels {
        refuse_text(text, &below(pointer, name), faults);
    }
}

fn refuse_text(text: &str, pointer: &str, faults: &mut Faults) {
    faults.require(
        text.trim() != PLACEHOLDER,
        pointer,
        "is the placeholder of a hidden value; omit the field, or send the value itself",
    );
}

fn refuse(value: &Value, pointer: &str, faults: &mut Faults) {
    match value {
        Value::String(text) => refuse_text(text, pointer, faults),
        Value::Array(items) => refuse_placeholders_in_values(items, pointer, faults),
        Value::Object(map) => refuse_placeholders(map, pointer, faults),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
