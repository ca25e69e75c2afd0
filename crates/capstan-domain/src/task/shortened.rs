//! Texts that are cut to what is kept of them: errors, and results of subtasks as their parents keep them.

use serde_json::Value;

/// Longest result of a subtask, as JSON, and longest error that its parent keeps, in bytes.
pub(super) const RESULT_BYTES_MAX: usize = 32 << 10;

/// Longest error of an attempt or a task that is kept, in bytes of JSON.
pub(super) const ERROR_BYTES_MAX: usize = 64 << 10;

/// Longest text that is kept of what a tool wrote, and of what was said with the approval of its call, in bytes of JSON.
pub(super) const TEXT_BYTES_MAX: usize = 64 << 10;

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
    Value::String(shortened_as_json(value.as_str().unwrap_or(&json), bytes_max))
}

/// A text that is at most about `bytes_max` bytes as JSON, with a note when it was cut: a character that JSON escapes takes up
/// to six.
pub(super) fn shortened_as_json(text: &str, bytes_max: usize) -> String {
    let mut bytes = 0;
    let end = text.char_indices().find(|(_, character)| {
        bytes += escaped_bytes(*character);
        bytes > bytes_max
    });
    end.map_or_else(
        || text.to_owned(),
        |(end, _)| format!("{} … (cut, {} bytes in all)", &text[..end], text.len()),
    )
}

/// Bytes of a character in a JSON text.
fn escaped_bytes(character: char) -> usize {
    match character {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        control if control < ' ' => 6,
        other => other.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stored::json_bytes;

    #[test]
    fn a_text_is_cut_by_what_it_takes_as_json() {
        for unit in ["x", "ä", "\"", "\n", "\u{1}", "\u{7f}", "\u{8}"] {
            let text = unit.repeat(1_000);
            let cut = shortened_as_json(&text, 300);
            assert!((250..=350).contains(&json_bytes(&cut)), "{} bytes of {unit:?}", json_bytes(&cut));
            assert!(cut.ends_with(&format!("(cut, {} bytes in all)", text.len())), "{cut}");
            assert_eq!(shortened_as_json(&text, json_bytes(&text)), text);
        }
    }
}
