//! Redaction of free JSON from callers and workers before it reaches a row. It is idempotent, because rows are read back
//! and written again.

use std::borrow::Cow;
use std::collections::BTreeMap;

use capstan_domain::redaction::{redact, redacted};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// The redacted form of a value from a caller or worker.
pub(crate) fn shown_value(value: &Value) -> Value {
    let mut shown = value.clone();
    redact(&mut shown);
    shown
}

/// The redacted JSON text of a value from a caller or worker.
pub(crate) fn shown(value: &impl Serialize) -> Box<RawValue> {
    let json = serde_json::value::to_raw_value(value)
        .unwrap_or_else(|_| unreachable!("JSON values and structs with text keys always serialize"));
    match redacted(&json) {
        Cow::Owned(shown) => shown,
        Cow::Borrowed(_) => json,
    }
}

/// The redacted labels.
pub(crate) fn shown_labels(labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut shown = labels.clone();
    for (name, text) in &mut shown {
        let mut pair = serde_json::json!({ name: text });
        if redact(&mut pair) {
            capstan_domain::redaction::PLACEHOLDER.clone_into(text);
        }
    }
    shown
}

/// The map in a row, to be changed by key and redacted again.
pub(crate) fn map_of(shown: &RawValue) -> Map<String, Value> {
    serde_json::from_str(shown.get()).unwrap_or_default()
}
