//! The headers of a command over NATS.

use async_nats::HeaderMap;
use capstan_domain::id::derived;
use capstan_envelope::Actor;
use chrono::Utc;
use uuid::Uuid;

use crate::answered::Answered;
use crate::call::CallContext;
use crate::problem::Problem;

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
    headers
}

/// Header with the id of the command, chosen by the caller.
pub(super) use crate::use_case::dead_letters::store::COMMAND_ID;

/// The context of a command from its headers, which have the meaning of the HTTP headers of the same names.
pub(super) fn call(headers: Option<&HeaderMap>) -> Result<CallContext, Problem> {
    let mut http = axum::http::HeaderMap::new();
    for name in ["capstan-command-id", "idempotency-key", "if-match", "traceparent", "capstan-correlation-id"]
    {
        let Some(value) = headers.and_then(|headers| find(headers, name)) else { continue };
        let value = value
            .parse()
            .map_err(|_| Problem::invalid_field("", format!("the header {name} is not ASCII")))?;
        http.insert(name, value);
    }
    let correlation = http.get("capstan-correlation-id").and_then(|value| value.to_str().ok()?.parse().ok());
    let fresh = CallContext::new(Actor::Client { name: "nats".into() }, Utc::now());
    let call = CallContext::from_headers(&http, correlation.unwrap_or(fresh.correlation_id))?;
    Ok(CallContext { actor: fresh.actor, ..call })
}

/// A header by its name in any case: NATS keeps the case.
pub(super) fn find<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(given, _)| given.to_string().eq_ignore_ascii_case(name))
        .and_then(|(_, values)| values.first())
        .map(async_nats::HeaderValue::as_str)
}

/// The id of a durable command: the caller's, or derived from its message id or its place in the queue. It is the same on
/// every delivery.
pub(super) fn command_id(headers: Option<&HeaderMap>, workspace: &str, place: &str) -> Uuid {
    let given = |name| headers.and_then(|headers| find(headers, name));
    if let Some(id) = given(COMMAND_ID).and_then(|text| text.parse().ok()) {
        return id;
    }
    match given("nats-msg-id") {
        Some(text) => text.parse().unwrap_or_else(|_| derived(&["nats-msg-id", workspace, text])),
        None => derived(&["command-message", place]),
    }
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

    #[test]
    fn headers_mean_the_same_as_over_http_in_any_case() {
        let given = headers(&[("Idempotency-Key", "k"), ("If-Match", "\"3\"")]);
        let call = call(Some(&given)).unwrap();
        assert_eq!((call.idempotency_key.as_deref(), call.expected_version), (Some("k"), Some(3)));
    }

    #[test]
    fn every_delivery_of_a_message_is_the_same_command() {
        let id = Uuid::from_u128(9);
        assert_eq!(command_id(Some(&headers(&[(COMMAND_ID, &id.to_string())])), "dev", "p"), id);
        assert_eq!(command_id(Some(&headers(&[("Nats-Msg-Id", &id.to_string())])), "dev", "p"), id);
        let named = headers(&[("Nats-Msg-Id", "order-7")]);
        assert_eq!(command_id(Some(&named), "dev", "p"), command_id(Some(&named), "dev", "q"));
        assert_ne!(command_id(Some(&named), "dev", "p"), command_id(Some(&named), "prod", "p"));
        assert_ne!(command_id(None, "dev", "p"), command_id(None, "dev", "q"));
    }
}
