//! The headers of requests and replies over NATS.

use std::borrow::Cow;
use std::collections::HashMap;

use async_nats::{HeaderMap, Message};
use capstan_domain::id::derived;
use capstan_envelope::Actor;
use chrono::Utc;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::answered::Answered;
use crate::call::CallContext;
use crate::header_fields;
use crate::prefer::{APPLIED, MINIMAL, PREFER};
use crate::problem::Problem;
use crate::request::{Outer, Source};

/// The headers of a reply.
pub(super) fn headers_of(answered: &Answered) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("Capstan-Status", answered.status.to_string());
    if let Some(position) = answered.position {
        headers.insert("Capstan-Position", position.to_string());
    }
    if let Some(version) = answered.version {
        headers.insert("ETag", format!("\"{version}\""));
    }
    if answered.is_minimal {
        headers.insert(APPLIED, MINIMAL);
    }
    headers
}

/// The headers and the payload of a reply that is a problem document.
pub(super) fn refusal(problem: &Problem, correlation_id: Uuid) -> (HeaderMap, Vec<u8>) {
    let status = problem.status().to_string();
    let mut headers = HeaderMap::new();
    headers.insert("Capstan-Status", status.as_str());
    headers.insert("Nats-Service-Error-Code", status.as_str());
    headers.insert("Nats-Service-Error", problem.code.as_str());
    (headers, problem.document(correlation_id).to_json())
}

/// Header with the id of the command, chosen by the caller.
pub(super) use crate::use_case::dead_letters::store::COMMAND_ID;

/// The fields that stand in the headers, as over HTTP.
pub(super) fn fields(headers: Option<&HeaderMap>) -> Vec<Outer<'static>> {
    let pairs = headers.into_iter().flat_map(HeaderMap::iter).flat_map(|(name, values)| {
        values.iter().map(move |value| (name.as_ref(), value.as_str().as_bytes()))
    });
    header_fields::of(pairs)
}

/// The context of a request from its headers, which have the meaning of the HTTP headers of the same names.
pub(super) fn call(headers: Option<&HeaderMap>) -> CallContext {
    let given = |name| headers.and_then(|headers| find(headers, name));
    let call = CallContext::new(Actor::Client { name: "nats".into() }, Utc::now());
    let correlation_id = given("capstan-correlation-id").and_then(|text| text.parse().ok());
    let preferences = headers.into_iter().flat_map(|headers| all(headers, PREFER));
    call.correlated(correlation_id).traced(given("traceparent")).preferring(preferences)
}

/// A header by its name in any case: NATS keeps the case.
pub(super) fn find<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    all(headers, name).next()
}

/// All values of a header, by its name in any case.
fn all<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    let named = headers.iter().filter(move |(given, _)| given.to_string().eq_ignore_ascii_case(name));
    named.flat_map(|(_, values)| values).map(async_nats::HeaderValue::as_str)
}

/// The fields of a payload, unread.
pub(super) type Given<'a> = HashMap<Cow<'a, str>, &'a RawValue>;

/// The fields of a payload; none of one that is no object. What is wrong with it is told when it is read.
pub(super) fn given(payload: &[u8]) -> Given<'_> {
    serde_json::from_slice(payload).unwrap_or_default()
}

/// The id of a durable command: the caller's, or derived from its message id or its place in the queue, which then joins
/// `fields`. It is the same on every delivery.
pub(super) fn command_id(
    message: &Message,
    given: &Given<'_>,
    fields: &mut Vec<Outer<'_>>,
    workspace: &str,
    place: &str,
) -> Uuid {
    let in_header = fields.iter().find(|field| field.name == "command_id").map(|field| &*field.text);
    let in_payload = given.get("command_id").map(|json| json.get()).filter(|json| *json != "null");
    let text = in_header.or_else(|| serde_json::from_str(in_payload?).ok());
    if let Some(id) = text.and_then(|text| text.parse().ok()) {
        return id;
    }
    let is_given = in_header.is_some() || in_payload.is_some();
    let id = match message.headers.as_ref().and_then(|headers| find(headers, "nats-msg-id")) {
        Some(text) => text.parse().unwrap_or_else(|_| derived(&["nats-msg-id", workspace, text])),
        None => derived(&["command-message", place]),
    };
    if !is_given {
        fields.push(Outer::new("command_id", id.to_string(), Source::Header(COMMAND_ID)));
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.insert(*name, *value);
        }
        headers
    }

    fn message(list: &[(&str, &str)], payload: &'static str) -> Message {
        Message {
            subject: "s".into(),
            reply: None,
            payload: payload.into(),
            headers: Some(headers(list)),
            status: None,
            description: None,
            length: 0,
        }
    }

    #[test]
    fn headers_mean_the_same_as_over_http_in_any_case() {
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let id = Uuid::from_u128(7).to_string();
        let call = call(Some(&headers(&[("Capstan-Correlation-Id", &id), ("TraceParent", trace)])));
        assert_eq!((call.correlation_id, call.traceparent.as_deref()), (Uuid::from_u128(7), Some(trace)));
        let fields = fields(Some(&headers(&[("IF-Match", "\"3\""), ("Nats-Msg-Id", "7")])));
        let [field] = &fields[..] else { panic!("{fields:?}") };
        assert_eq!(
            (&*field.name, &*field.text, field.source),
            ("expected_version", "3", Source::Header("If-Match"))
        );
    }

    #[test]
    fn preferences_stand_in_any_value_of_their_header() {
        let mut headers = headers(&[("Prefer", "wait=1")]);
        headers.append("Prefer", "return=minimal");
        assert!(call(Some(&headers)).is_minimal);
    }

    #[test]
    fn a_message_without_a_readable_correlation_id_gets_a_fresh_one() {
        for headers in [None, Some(&headers(&[("Capstan-Correlation-Id", "ü")]))] {
            assert_ne!(call(headers).correlation_id, Uuid::nil());
        }
    }

    #[test]
    fn every_delivery_of_a_message_is_the_same_command() {
        let id = Uuid::from_u128(9);
        let text = id.to_string();
        let of = |message: &Message, workspace: &str, place: &str| {
            let mut fields = fields(message.headers.as_ref());
            let given = given(&message.payload);
            let id = command_id(message, &given, &mut fields, workspace, place);
            (id, fields.iter().any(|field| field.name == "command_id" && *field.text == id.to_string()))
        };
        assert_eq!(of(&message(&[(COMMAND_ID, &text)], "{}"), "dev", "p"), (id, true));
        assert_eq!(of(&message(&[("Nats-Msg-Id", &text)], "{}"), "dev", "p"), (id, true));
        let in_payload = message(&[], r#"{"command_id":"00000000-0000-0000-0000-000000000009"}"#);
        assert_eq!(of(&in_payload, "dev", "p"), (id, false));
        let named = message(&[("Nats-Msg-Id", "order-7")], "{}");
        assert_eq!(of(&named, "dev", "p"), of(&named, "dev", "q"));
        assert_ne!(of(&named, "dev", "p"), of(&named, "prod", "p"));
        let bare = message(&[], "{}");
        assert_ne!(of(&bare, "dev", "p"), of(&bare, "dev", "q"));
        let wrong = message(&[], r#"{"command_id":7}"#);
        assert!(!of(&wrong, "dev", "p").1, "the reader must see what the caller wrote");
    }
}
