//! The context of a command: its caller, key, condition and trace.

use axum::http::HeaderMap;
use capstan_contract::command::Conditions;
use capstan_contract::request::Request;
use capstan_dispatch::CommandContext;
use capstan_domain::{Faults, canonical, id};
use capstan_envelope::{Actor, Idempotency, StreamId, Workspace};
use chrono::{DateTime, SubsecRound, Utc};
use rand::RngExt as _;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use crate::problem::Problem;

/// Longest idempotency key, in bytes.
const KEY_BYTES_MAX: usize = 512;

/// A fresh id that sorts by time, so that rows made together lie together.
pub(crate) fn fresh_id(at: DateTime<Utc>) -> Uuid {
    let millis = u64::try_from(at.timestamp_millis()).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(millis, &rand::rng().random()).into_uuid()
}

/// The circumstances of one command, whichever way it came.
#[derive(Clone, Debug)]
pub struct CallContext {
    /// Caller.
    pub actor: Actor,
    /// The conversation it belongs to; also names the request in logs and problem documents.
    pub correlation_id: Uuid,
    /// The caller's own name for the command.
    pub command_id: Option<Uuid>,
    /// The caller's idempotency key, when it came beside the body.
    pub idempotency_key: Option<String>,
    /// Act only when the entity is at this version.
    pub expected_version: Option<u64>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// Time the command was received, in whole milliseconds.
    pub received_at: DateTime<Utc>,
    /// True when the answer will be kept where others may read it: nothing secret may stand in it.
    pub answer_is_kept: bool,
}

impl CallContext {
    /// A call with nothing but a caller.
    pub fn new(actor: Actor, received_at: DateTime<Utc>) -> Self {
        // Facts carry milliseconds: finer digits mean nothing between machines and only make documents longer.
        let received_at = received_at.trunc_subsecs(3);
        Self {
            actor,
            correlation_id: fresh_id(received_at),
            command_id: None,
            idempotency_key: None,
            expected_version: None,
            traceparent: None,
            received_at,
            answer_is_kept: false,
        }
    }

    /// Reads the headers of an HTTP request.
    pub(crate) fn from_headers(headers: &HeaderMap, correlation_id: Uuid) -> Result<Self, Problem> {
        let mut faults = Faults::default();
        let mut text = |name: &str| {
            let mut values = headers.get_all(name).iter();
            let value = values.next().map(|value| str::from_utf8(value.as_bytes()).unwrap_or_default());
            faults.require(values.next().is_none(), name, "is given twice");
            value
        };
        let (command_id, tag) = (text("Capstan-Command-Id"), text("If-Match").map(str::trim));
        let (idempotency_key, traceparent) = (text("Idempotency-Key"), text("traceparent"));
        let command_id = command_id.and_then(|text| {
            let id = text.parse().ok();
            faults.require(id.is_some(), "Capstan-Command-Id", "must be a UUID");
            id
        });
        let expected_version = tag.filter(|tag| *tag != "*").and_then(|tag| {
            let version = tag.trim_matches('"').parse().ok();
            faults.require(version.is_some(), "If-Match", "must be one version, as answered in ETag");
            version
        });
        Problem::refuse(faults)?;
        Ok(Self {
            correlation_id,
            command_id,
            expected_version,
            idempotency_key: idempotency_key.map(str::to_owned),
            traceparent: traceparent.filter(|text| is_traceparent(text)).map(str::to_owned),
            ..Self::new(Actor::Client { name: "anonymous".into() }, Utc::now())
        })
    }

    /// Adds the conditions that stood in the body. A header and the body may not contain different keys.
    pub(crate) fn with(&self, conditions: Conditions) -> Result<Self, Problem> {
        let key = match (self.idempotency_key.clone(), conditions.idempotency_key) {
            (Some(header), Some(body)) if header != body => {
                return Err(Problem::invalid_field(
                    "/idempotency_key",
                    "the Idempotency-Key header and the body contain different keys",
                ));
            }
            (header, body) => header.or(body),
        };
        if key.as_ref().is_some_and(|key| key.trim().is_empty() || key.len() > KEY_BYTES_MAX) {
            return Err(Problem::invalid_field(
                "/idempotency_key",
                format!("an idempotency key has 1 to {KEY_BYTES_MAX} bytes and is not blank"),
            ));
        }
        Ok(Self { idempotency_key: key, ..self.clone() })
    }

    /// The key under which the command may be repeated: the caller's key, else its command id.
    pub(crate) fn key(&self) -> Option<CommandKey> {
        let given = self.idempotency_key.clone().map(CommandKey::Given);
        given.or(self.command_id.map(CommandKey::Id))
    }

    /// The context of a command on `stream`; a repeat with the same `body` is the same command.
    pub(crate) fn command<B: Request>(
        &self,
        stream: &StreamId,
        key: Option<&CommandKey>,
        body: &B,
    ) -> CommandContext {
        self.named_command(stream, B::NAME, key, body)
    }

    /// As [`Self::command`], on a stream that serves all workspaces: the same key of two workspaces is two commands.
    pub(crate) fn command_of_tenant<B: Request>(
        &self,
        tenant: &Workspace,
        stream: &StreamId,
        key: Option<&CommandKey>,
        body: &B,
    ) -> CommandContext {
        let key = key.map(|key| match key {
            CommandKey::Given(key) => CommandKey::Given(format!("{tenant}/{key}")),
            CommandKey::Id(id) => CommandKey::Id(*id),
        });
        let body = canonical::hash(&serde_json::to_value(body).unwrap_or_default());
        self.named_command(stream, B::NAME, key.as_ref(), &json!({ "workspace": tenant, "body": body }))
    }

    fn named_command(
        &self,
        stream: &StreamId,
        wire_name: &'static str,
        key: Option<&CommandKey>,
        body: &impl Serialize,
    ) -> CommandContext {
        let command_id = match key {
            None => fresh_id(self.received_at),
            Some(CommandKey::Id(id)) => *id,
            Some(CommandKey::Given(key)) => id::derived(&["command", &stream.to_string(), wire_name, key]),
        };
        let idempotency =
            key.map(|key| Idempotency { key: key.text(), fingerprint: identity(stream, wire_name, body) });
        CommandContext {
            command_id,
            command: wire_name,
            actor: self.actor.clone(),
            correlation_id: self.correlation_id,
            causation_id: None,
            traceparent: self.traceparent.clone(),
            occurred_at: self.received_at,
            idempotency,
            expected_version: self.expected_version,
        }
    }
}

/// The facts that must be equal in a repeat: command, entity and body. A caller's command id alone does not tell entities
/// apart, so they are part of it.
fn identity(stream: &StreamId, wire_name: &str, body: &impl Serialize) -> String {
    let body = serde_json::to_value(body).unwrap_or_default();
    canonical::hash(&json!({ "stream": stream, "command": wire_name, "body": canonical::hash(&body) }))
}

/// The key that makes a command repeatable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CommandKey {
    /// The caller's key.
    Given(String),
    /// The caller's command id, when it gave no key.
    Id(Uuid),
}

impl CommandKey {
    /// The text ids are derived from; the two kinds cannot be mixed up.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Given(key) => key.clone(),
            Self::Id(id) => format!("command-id:{id}"),
        }
    }
}

/// `00-<32 hex>-<16 hex>-<2 hex>`; anything else is not handed on.
fn is_traceparent(text: &str) -> bool {
    let parts: Vec<_> = text.split('-').collect();
    parts.len() >= 4
        && parts
            .iter()
            .zip([2, 32, 16, 2])
            .all(|(part, len)| part.len() == len && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use capstan_contract::command::CancelTask;
    use capstan_domain::id::TaskId;

    use super::*;

    fn cancel() -> CancelTask {
        CancelTask { task_id: TaskId(Uuid::nil()), reason: None }
    }

    fn call(list: &[(&'static str, &str)]) -> Result<CallContext, Problem> {
        let headers = list.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        CallContext::from_headers(&headers.collect(), Uuid::nil())
    }

    #[test]
    fn header_and_body_may_not_name_different_keys() {
        let call = call(&[("idempotency-key", "a")]).unwrap();
        let with = |key: Option<&str>| call.with(Conditions { idempotency_key: key.map(str::to_owned) });
        assert_eq!(with(None).unwrap().key(), Some(CommandKey::Given("a".into())));
        assert_eq!(with(Some("a")).unwrap().key(), Some(CommandKey::Given("a".into())));
        assert_eq!(with(Some("b")).unwrap_err().errors[0].pointer, "/idempotency_key");
    }

    #[test]
    fn a_command_id_alone_makes_a_command_repeatable() {
        let id = Uuid::from_u128(7);
        let call = call(&[("capstan-command-id", &id.to_string())]).unwrap();
        assert_eq!(call.key(), Some(CommandKey::Id(id)));
        let stream = "dev/task/1".parse().unwrap();
        let context = call.command(&stream, Some(&CommandKey::Id(id)), &cancel());
        assert_eq!((context.command_id, context.command), (id, "cancel-task"));
        let other = "dev/task/2".parse().unwrap();
        let other = call.command(&other, Some(&CommandKey::Id(id)), &cancel());
        assert_ne!(context.idempotency, other.idempotency, "the id of one command is no repeat of another");
    }

    #[test]
    fn one_key_of_two_workspaces_on_a_shared_stream_is_two_commands() {
        let call = call(&[]).unwrap();
        let stream = "_channels/channel/1".parse().unwrap();
        let of = |tenant: &str, key: &CommandKey| {
            let tenant = Workspace::new(tenant).unwrap();
            call.command_of_tenant(&tenant, &stream, Some(key), &cancel())
        };
        let given = CommandKey::Given("k".into());
        assert_ne!(of("dev", &given).command_id, of("other", &given).command_id);
        assert_eq!(of("dev", &given).idempotency, of("dev", &given).idempotency);
        let id = CommandKey::Id(Uuid::from_u128(7));
        assert_ne!(of("dev", &id).idempotency, of("other", &id).idempotency);
    }

    #[test]
    fn conditions_that_cannot_be_read_are_refused() {
        assert_eq!(call(&[("if-match", "\"7\"")]).unwrap().expected_version, Some(7));
        assert_eq!(call(&[("if-match", "*")]).unwrap().expected_version, None);
        let bad = [("if-match", "\"7\", \"8\""), ("capstan-command-id", "7")];
        let pointers: Vec<_> =
            call(&bad).unwrap_err().errors.into_iter().map(|fault| fault.pointer).collect();
        assert_eq!(pointers, ["Capstan-Command-Id", "If-Match"]);
    }

    #[test]
    fn a_header_given_twice_is_refused() {
        let mut headers = HeaderMap::new();
        headers.append("idempotency-key", "a".parse().unwrap());
        headers.append("idempotency-key", "b".parse().unwrap());
        let refused = CallContext::from_headers(&headers, Uuid::nil()).unwrap_err();
        assert_eq!(
            (&*refused.errors[0].pointer, &*refused.errors[0].message),
            ("Idempotency-Key", "is given twice")
        );
    }

    #[test]
    fn only_a_real_trace_context_is_handed_on() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(call(&[("traceparent", good)]).unwrap().traceparent.as_deref(), Some(good));
        assert_eq!(call(&[("traceparent", "x")]).unwrap().traceparent, None);
    }
}
