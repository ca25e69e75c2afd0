//! What is wrong with a field, in words of JSON: callers know nothing of the types it is read into.

/// An example says more than the name of a standard.
const TIME: &str = "must be a time such as 2030-01-31T09:30:00Z";
/// Where nothing better can be said.
const SHAPE: &str = "does not have the expected shape";

/// Turns the parser's message into the caller's language. Messages of our own types are plain already.
pub(super) fn in_plain_words(message: &str) -> String {
    if message.starts_with("unknown field ") {
        return "unknown field".to_owned();
    }
    if let Some(field) = message.strip_prefix("duplicate field `").and_then(|rest| rest.strip_suffix('`')) {
        return format!("{field} is given twice");
    }
    if let Some(known) =
        message.strip_prefix("unknown variant ").and_then(|rest| rest.split_once(", expected "))
    {
        // The names stand in backticks, so they are every other piece.
        let names: Vec<_> = known.1.split('`').skip(1).step_by(2).collect();
        return format!("must be one of {}", names.join(", "));
    }
    if message.starts_with("UUID parsing failed") {
        return "must be a UUID".to_owned();
    }
    let is_of_parser = ["invalid type: ", "invalid value: ", "invalid length "]
        .iter()
        .any(|start| message.starts_with(start));
    match message.rsplit_once(", expected ") {
        Some((_, wanted)) if is_of_parser => shape(wanted).to_owned(),
        _ if is_of_time(message) => TIME.to_owned(),
        _ if is_of_parser
            || message.contains('`')
            || message.contains("::")
            || message.contains(" enum ") =>
        {
            SHAPE.to_owned()
        }
        _ => message.to_owned(),
    }
}

fn shape(wanted: &str) -> &'static str {
    match wanted {
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "must be a whole number",
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" => "must be a whole number, 0 or more",
        "f32" | "f64" => "must be a number",
        "a string" | "a borrowed string" | "a character" => "must be a text",
        "a boolean" => "must be true or false",
        "a sequence" => "must be a list",
        "a map" => "must be an object",
        "a nonzero u8" | "a nonzero u16" | "a nonzero u32" | "a nonzero u64" => {
            "must be a whole number, 1 or more"
        }
        _ if wanted.contains("UUID") => "must be a UUID",
        _ if wanted.contains("date and time") => TIME,
        _ if wanted.starts_with("struct ") => "must be an object",
        _ if wanted.starts_with("a tuple") || wanted.starts_with("an array") => "must be a list",
        _ => SHAPE,
    }
}

/// What the reader of times says of texts that are none.
fn is_of_time(message: &str) -> bool {
    matches!(
        message,
        "input is out of range"
            | "no possible date and time matching input"
            | "input is not enough for unique date and time"
            | "input contains invalid characters"
            | "premature end of input"
            | "trailing input"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use capstan_domain::id::{AttemptId, TaskId};
    use chrono::{DateTime, Utc};
    use serde::Deserialize;
    use serde::de::DeserializeOwned;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "lowercase")]
    enum Choice {
        Left,
        Right,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its shape matters")]
    struct Whole {
        size: u8,
        name: String,
    }

    #[derive(Debug, Deserialize)]
    #[serde(untagged)]
    #[expect(dead_code, reason = "only its shape matters")]
    enum Either {
        Size(u8),
        List(Vec<u8>),
    }

    fn said_of<T: DeserializeOwned + std::fmt::Debug>(json: &str) -> String {
        let text = serde_json::from_str::<T>(json).unwrap_err().to_string();
        in_plain_words(text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message))
    }

    #[test]
    fn faults_are_told_without_the_names_of_types() {
        assert_eq!(said_of::<i64>("\"x\""), "must be a whole number");
        assert_eq!(said_of::<i64>("1.5"), "must be a whole number");
        assert_eq!(said_of::<u32>("-1"), "must be a whole number, 0 or more");
        assert_eq!(said_of::<f64>("[]"), "must be a number");
        assert_eq!(said_of::<String>("7"), "must be a text");
        assert_eq!(said_of::<bool>("\"a, expected i64\""), "must be true or false");
        assert_eq!(said_of::<Vec<u8>>("{}"), "must be a list");
        assert_eq!(said_of::<BTreeMap<String, u8>>("[]"), "must be an object");
        assert_eq!(said_of::<Whole>("7"), "must be an object");
        assert_eq!(said_of::<Whole>(r#"{"colour":1}"#), "unknown field");
        assert_eq!(said_of::<Whole>(r#"{"size":1,"size":2}"#), "size is given twice");
        assert_eq!(said_of::<Choice>("\"up\""), "must be one of left, right");
        assert_eq!(said_of::<TaskId>("\"zz\""), "must be a UUID");
        assert_eq!(said_of::<TaskId>("7"), "must be a UUID");
        assert_eq!(said_of::<Either>("\"x\""), SHAPE);
        for json in ["\"soon\"", "\"\"", "7", "\"2030-13-45T00:00:00Z\"", "\"2030-01-01T00:00:00Zx\""] {
            assert_eq!(said_of::<DateTime<Utc>>(json), TIME, "{json}");
        }
        let told = said_of::<AttemptId>("\"x\"");
        assert!(!told.contains("expected") && !told.contains("::"), "{told}");
    }
}
