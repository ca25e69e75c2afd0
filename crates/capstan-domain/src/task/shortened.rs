//! Results and errors of subtasks as their parents keep them.

use serde_json::Value;

use crate::text::cut;

/// Longest result of a subtask, as JSON, and longest error that its parent keeps, in bytes.
pub(super) const RESULT_BYTES_MAX: usize = 32 << 10;

/// A result as its parent keeps it: a long one is cut, and then is a text.
pub(super) fn short_result(result: &Value) -> Value {
    shortened_value(result, RESULT_BYTES_MAX)
}

/// A value of at most about `bytes_max` bytes of JSON: a longer one is cut, and then is a text.
pub(super) fn shortened_value(value: &Value, bytes_max: usize) -> Value {
    let json = value.to_string();
    if json.len() <= bytes_max {
        return value.clone();
    }
    Value::String(shortened(value.as_str().unwrap_or(&json), bytes_max))
}

/// A text with a note when it was cut.
pub(super) fn shortened(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    format!("{} … (cut, {} bytes in all)", cut(text, bytes_max), text.len())
}
