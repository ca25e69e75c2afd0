//! Reads bodies strictly: exactly one JSON object or list, no unknown field, no trailing data.

mod fault;
mod objects_only;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};

use crate::problem::{Code, Problem};
use objects_only::ObjectsOnly;

/// Reads a body as exactly one JSON value of the wanted shape.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let mut track = serde_path_to_error::Track::new();
    let parsed = T::deserialize(serde_path_to_error::Deserializer::new(ObjectsOnly(&mut json), &mut track));
    match parsed {
        Ok(value) => json.end().map(|()| value).map_err(|error| malformed(&error)),
        Err(error) if error.classify() == Category::Data => {
            // A wrong field may stand before broken JSON; then the body is not JSON at all.
            serde_json::from_slice::<IgnoredAny>(bytes).map_err(|error| malformed(&error))?;
            Err(misshapen(&error, &track.path()))
        }
        Err(error) => Err(malformed(&error)),
    }
}

/// Like [`parse`], for bodies that may be left out.
pub(crate) fn parse_optional<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    parse(if bytes.iter().all(u8::is_ascii_whitespace) { b"{}" } else { bytes })
}

fn malformed(error: &serde_json::Error) -> Problem {
    let text = error.to_string();
    let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
    Problem::new(
        Code::MalformedRequest,
        format!("the body is not JSON: {what} at line {}, column {}", error.line(), error.column()),
    )
}

fn misshapen(error: &serde_json::Error, path: &Path) -> Problem {
    let text = error.to_string();
    let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message);
    let mut pointer = pointer(path);
    let missing = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
    if let Some(field) = missing {
        pointer.push('/');
        pointer.push_str(field);
        return Problem::invalid_field(&pointer, format!("{field} is required"));
    }
    let unknown = message.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`'));
    if let Some((field, _)) = unknown {
        let end = format!("/{}", escaped(field));
        if !pointer.ends_with(&end) {
            pointer.push_str(&end);
        }
    }
    Problem::invalid_field(&pointer, fault::in_plain_words(message))
}

fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.extend(["/", &index.to_string()]),
            Segment::Map { key } => pointer.extend(["/", &escaped(key)]),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its shape matters")]
    struct Outer {
        name: String,
        #[serde(default)]
        inner: Option<Inner>,
        #[serde(default)]
        list: Vec<u8>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its shape matters")]
    struct Inner {
        count: u8,
    }

    fn refusal(body: &str) -> (Code, String) {
        let problem = parse::<Outer>(body.as_bytes()).unwrap_err();
        let pointer = problem.errors.first().map(|fault| fault.pointer.clone()).unwrap_or_default();
        (problem.code, pointer)
    }

    #[test]
    fn what_is_not_one_json_value_is_malformed() {
        for body in ["", "{", r#"{"name":"a"} x"#, r#"{"name":"a"}{}"#, r#"{"name":1,]"#, "\u{feff}{}"] {
            assert_eq!(refusal(body).0, Code::MalformedRequest, "{body}");
        }
        assert!(parse::<Outer>(b"{\n\"name\": x}").unwrap_err().detail.ends_with("line 2, column 9"));
    }

    #[test]
    fn a_fault_of_shape_is_named_by_its_pointer() {
        for (body, pointer) in [
            (r#"{"name":"a","colour":1}"#, "/colour"),
            (r#"{"name":7}"#, "/name"),
            ("{}", "/name"),
            (r#"{"name":"a","inner":{"count":1,"a/b":2}}"#, "/inner/a~1b"),
            (r#"{"name":"a","inner":{}}"#, "/inner/count"),
            (r#"{"name":"a","list":[1,"x"]}"#, "/list/1"),
            (r#"{"name":"a","name":"b"}"#, ""),
            ("[]", ""),
            (r#"["a"]"#, ""),
            (r#"{"name":"a","inner":[1]}"#, "/inner"),
        ] {
            let (code, found) = refusal(body);
            assert_eq!(code, Code::ValidationFailed, "{body}");
            if !pointer.is_empty() {
                assert_eq!(found, pointer, "{body}");
            }
        }
    }

    #[test]
    fn faults_speak_of_json_not_of_structs() {
        let problem = parse::<Outer>(br#"{"name":"a","inner":[1]}"#).unwrap_err();
        assert_eq!(problem.errors[0].message, "must be an object");
    }

    #[test]
    fn an_optional_body_may_be_empty() {
        assert_eq!(parse_optional::<Outer>(b" ").unwrap_err().errors[0].pointer, "/name");
    }
}
