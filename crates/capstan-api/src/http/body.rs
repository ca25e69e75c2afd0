//! Reads bodies strictly: no unknown field, no trailing data, no more bytes than allowed.

mod fault;
mod objects_only;

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use futures_util::StreamExt;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};

use crate::App;
use crate::http::parameters::Parameters;
use crate::problem::{Code, Problem};
use objects_only::ObjectsOnly;

/// Bytes of a refused body that are still read, so that a client in the middle of sending gets to see the answer.
const DRAIN_BYTES_MAX: usize = 32 << 20;

/// How long a body may take to arrive. Who stops half-way must not hold a connection for ever.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Collects a body of at most `limit_bytes`.
pub(crate) async fn read(headers: &HeaderMap, body: Body, limit_bytes: usize) -> Result<Bytes, Problem> {
    read_within(READ_TIMEOUT, headers, body, limit_bytes).await
}

async fn read_within(
    timeout: Duration,
    headers: &HeaderMap,
    body: Body,
    limit_bytes: usize,
) -> Result<Bytes, Problem> {
    tokio::time::timeout(timeout, collect(headers, body, limit_bytes)).await.unwrap_or_else(|_| {
        let detail = format!("the body did not arrive within {} s", timeout.as_secs());
        Err(Problem::new(Code::RequestTimeout, detail))
    })
}

async fn collect(headers: &HeaderMap, body: Body, limit_bytes: usize) -> Result<Bytes, Problem> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<usize>().ok());
    if announced.is_none_or(|bytes| bytes <= limit_bytes) {
        let mut chunks = body.into_data_stream();
        let mut first = Bytes::new();
        let mut whole = Vec::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|source| {
                Problem::new(Code::MalformedRequest, "the body broke off").because(source)
            })?;
            // The usual body comes in one piece and is not copied.
            if first.is_empty() && whole.is_empty() {
                first = chunk;
            } else {
                if whole.is_empty() {
                    whole.extend_from_slice(&first);
                }
                whole.extend_from_slice(&chunk);
            }
            if first.len().max(whole.len()) > limit_bytes {
                drain(chunks).await;
                return Err(too_large(limit_bytes));
            }
        }
        return Ok(if whole.is_empty() { first } else { whole.into() });
    }
    if announced.is_some_and(|bytes| bytes <= DRAIN_BYTES_MAX) {
        drain(body.into_data_stream()).await;
    }
    Err(too_large(limit_bytes))
}

async fn drain(mut chunks: axum::body::BodyDataStream) {
    let mut left = DRAIN_BYTES_MAX;
    let reading = async {
        while let Some(Ok(chunk)) = chunks.next().await {
            left = left.saturating_sub(chunk.len());
            if left == 0 {
                return;
            }
        }
    };
    // A slow sender is not worth more than this; the answer goes out either way.
    let _ = tokio::time::timeout(Duration::from_secs(5), reading).await;
}

fn too_large(limit_bytes: usize) -> Problem {
    Problem::new(Code::PayloadTooLarge, format!("the body exceeds {limit_bytes} bytes"))
}

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

/// Reads a request that says nothing besides its path: no parameter, and no body or an empty object.
pub(crate) async fn nothing_more(app: &App, parameters: Parameters, request: Request) -> Result<(), Problem> {
    parameters.finish()?;
    nothing(request, app.config.command_bytes_max).await
}

/// Reads a body that says nothing: none, or an empty object.
pub(crate) async fn nothing(request: Request, limit_bytes: usize) -> Result<(), Problem> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    let (head, body) = request.into_parts();
    let Nothing {} = parse_optional(&read(&head.headers, body, limit_bytes).await?)?;
    Ok(())
}

/// The id a path names, which a body may repeat but not contradict.
pub(crate) fn of_path<T: PartialEq>(
    in_body: Option<T>,
    in_path: T,
    pointer: &str,
) -> Result<Option<T>, Problem> {
    if in_body.is_some_and(|id| id != in_path) {
        return Err(Problem::invalid_field(pointer, "the path and the body name different ones"));
    }
    Ok(Some(in_path))
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

    #[tokio::test]
    async fn a_body_that_stops_half_way_is_not_waited_for_for_ever() {
        let begun = futures_util::stream::once(async { Ok::<_, std::io::Error>(Bytes::from_static(b"{")) });
        let body = Body::from_stream(begun.chain(futures_util::stream::pending()));
        let refused = read_within(Duration::from_millis(5), &HeaderMap::new(), body, 100).await.unwrap_err();
        assert_eq!(refused.code, Code::RequestTimeout);
        let whole = read_within(READ_TIMEOUT, &HeaderMap::new(), Body::from("{}"), 100).await.unwrap();
        assert_eq!(whole, "{}");
    }

    #[test]
    fn an_optional_body_may_be_empty() {
        assert_eq!(parse_optional::<Outer>(b" ").unwrap_err().errors[0].pointer, "/name");
    }
}
