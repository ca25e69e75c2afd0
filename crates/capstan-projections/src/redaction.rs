//! The one door through which free JSON of callers and workers reaches a row.
//!
//! Every map a read shows is written here, so that hiding secrets by key name is a change of this file alone.
//! Whatever it will do must be idempotent: rows are read back and written again.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// JSON text of a value a caller or worker gave.
pub(crate) fn shown(value: &impl Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(value)
        .unwrap_or_else(|_| unreachable!("JSON values and structs with text keys always write as JSON"))
}

/// The map a row shows, to be changed key by key and shown again.
pub(crate) fn map_of(shown: &RawValue) -> Map<String, Value> {
    serde_json::from_str(shown.get()).unwrap_or_default()
}
