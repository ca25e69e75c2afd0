//! The one door through which free JSON of callers and workers reaches a row: secrets are hidden here.
//!
//! Rows are read back and written again; hiding twice is hiding once.

use std::collections::BTreeMap;

use capstan_envelope::redaction::redact;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// JSON text of a value a caller or worker gave, as people may see it.
pub(crate) fn shown(value: &impl Serialize) -> Box<RawValue> {
    let shown = serde_json::to_value(value).and_then(|mut value| {
        redact(&mut value);
        serde_json::value::to_raw_value(&value)
    });
    shown.unwrap_or_else(|_| unreachable!("JSON values and structs with text keys always write as JSON"))
}

/// Labels as people may see them.
pub(crate) fn shown_labels(labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut shown = labels.clone();
    for (name, text) in &mut shown {
        let mut pair = serde_json::json!({ name: text });
        if redact(&mut pair) {
            capstan_envelope::redaction::REDACTED.clone_into(text);
        }
    }
    shown
}

/// The map a row shows, to be changed key by key and shown again.
pub(crate) fn map_of(shown: &RawValue) -> Map<String, Value> {
    serde_json::from_str(shown.get()).unwrap_or_default()
}
