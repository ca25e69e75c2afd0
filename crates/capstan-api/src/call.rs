//! The context of a command: its caller, key, condition and trace.

use capstan_contract::command::Conditions;
use capstan_contract::request::Request;
use capstan_dispatch::CommandContext;
use capstan_domain::canonical;
use capstan_envelope::{Actor, CommitId, Idempotency, StreamId, Workspace};
use chrono::{DateTime, SubsecRound, Utc};
use rand::RngExt as _;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::prefer;

/// A fresh id that sorts by time, so that rows made together lie together.
pub(crate) fn fresh_id(at: DateTime<Utc>) -> Uuid {
    let millis = u64::try_from(at.timestamp_millis()).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(millis, &rand::rng().random()).into_uuid()
}

/// The circumstances of one command, whichever way it came.
#[derive(Clone, Debug)]
pub struct CallContext {
    /// The caller the command is recorded for.
    pub actor: Actor,
    /// Names the request in logs and problem documents.
    pub correlation_id: Uuid,
    /// True when the caller named the correlation id: only then it is stored with the command, whose own id correlates it
    /// otherwise.
    pub is_correlated: bool,
    /// The fields beside the command.
    pub conditions: Conditions,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// Time the command was received, in whole milliseconds.
    pub received_at: DateTime<Utc>,
    /// True when the answer will be kept where others may read it: nothing secret may stand in it.
    pub answer_is_kept: bool,
    /// True when the caller prefers a reply without the entity (RFC 7240, `return=minimal`).
    pub is_minimal: bool,
}

impl CallContext {
    /// A call with nothing but a caller.
    pub fn new(actor: Actor, received_at: DateTime<Utc>) -> Self {
        // Facts carry milliseconds: finer digits mean nothing between machines and only make documents longer.
        let received_at = received_at.trunc_subsecs(3);
        Self {
            actor,
            correlation_id: fresh_id(received_at),
            is_correlated: false,
            conditions: Conditions::default(),
            traceparent: None,
            received_at,
            answer_is_kept: false,
            is_minimal: false,
        }
    }

    /// This call as part of the conversation that its caller named.
    #[must_use]
    pub(crate) fn correlated(self, given: Option<Uuid>) -> Self {
        let correlation_id = given.unwrap_or(self.correlation_id);
        Self { correlation_id, is_correlated: given.is_some(), ..self }
    }

    /// This call with the trace context of its caller; anything else is not handed on.
    #[must_use]
    pub(crate) fn traced(self, traceparent: Option<&str>) -> Self {
        Self { traceparent: traceparent.filter(|text| is_traceparent(text)).map(str::to_owned), ..self }
    }

    /// This call with the preferences of its caller, the texts of its headers `Prefer`.
    #[must_use]
    pub(crate) fn preferring<'a>(self, given: impl Iterator<Item = &'a str>) -> Self {
        Self { is_minimal: prefer::is_minimal(given), ..self }
    }

    /// The read of an entity that the reply shows; none when the caller prefers a reply without it.
    pub(crate) fn shows<F>(&self, read: F) -> Option<F> {
        (!self.is_minimal).then_some(read)
    }

    /// This call under these conditions.
    #[must_use]
    pub(crate) fn under(&self, conditions: Conditions) -> Self {
        Self { conditions, ..self.clone() }
    }

    /// The key under which the command may be repeated: the caller's key, else its command id.
    pub(crate) fn key(&self) -> Option<CommandKey> {
        let given = self.conditions.idempotency_key.as_ref().map(|key| CommandKey::Given(key.to_string()));
        given.or(self.conditions.command_id.map(CommandKey::Id))
    }

    /// The id of what a command makes: the same for every repeat under its key, another one for every command without.
    pub(crate) fn keyed_id<T: From<Uuid>>(
        &self,
        key: Option<&CommandKey>,
        derived: impl FnOnce(&str) -> T,
    ) -> T {
        key.map_or_else(|| fresh_id(self.received_at).into(), |key| derived(&key.text()))
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
        let body = json!({ "workspace": tenant, "body": body });
        self.named_command(stream, B::NAME, key.as_ref(), &body)
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
            Some(CommandKey::Given(key)) => CommitId::from_key(stream, wire_name, key).0,
        };
        let idempotency =
            key.map(|key| Idempotency { key: key.text(), fingerprint: identity(stream, wire_name, body) });
        CommandContext {
            command_id,
            command: wire_name,
            actor: self.actor.clone(),
            correlation_id: if self.is_correlated { self.correlation_id } else { command_id },
            causation_id: None,
            traceparent: self.traceparent.clone(),
            occurred_at: self.received_at,
            idempotency,
            expected_version: self.conditions.expected_version,
        }
    }
}

/// The facts that must be equal in a repeat: entity, command and body, as a hash of one canonical text, since a body may be
/// long. A caller's command id alone does not tell entities apart, so they are part of it. What is stored is its fingerprint
/// under the key of the log, so the text and the hash are part of the stored format.
fn identity(stream: &StreamId, wire_name: &str, body: &impl Serialize) -> String {
    let body = serde_json::to_value(body).unwrap_or_default();
    canonical::hash(Value::Array(vec![stream.to_string().into(), wire_name.into(), body]))
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
    use data_encoding::HEXLOWER;
    use sha2::{Digest, Sha256};

    use super::*;

    fn cancel() -> CancelTask {
        CancelTask { task_id: TaskId(Uuid::nil()), reason: None }
    }

    fn call(conditions: Conditions) -> CallContext {
        CallContext::new(Actor::System, Utc::now()).under(conditions)
    }

    #[test]
    fn a_command_id_alone_makes_a_command_repeatable() {
        let id = Uuid::from_u128(7);
        let call = call(Conditions { command_id: Some(id), ..Conditions::default() });
        assert_eq!(call.key(), Some(CommandKey::Id(id)));
        let stream = "dev/task/1".parse().unwrap();
        let context = call.command(&stream, Some(&CommandKey::Id(id)), &cancel());
        assert_eq!((context.command_id, context.command), (id, "cancel-task"));
        let other = "dev/task/2".parse().unwrap();
        let other = call.command(&other, Some(&CommandKey::Id(id)), &cancel());
        assert_ne!(context.idempotency, other.idempotency, "the id of one command is no repeat of another");
    }

    #[test]
    fn the_hash_that_stored_fingerprints_were_made_of_stays() {
        let stream = "dev/task/1".parse().unwrap();
        let text = r#"["dev/task/1","cancel-task",{"task_id":"00000000-0000-0000-0000-000000000000"}]"#;
        assert_eq!(identity(&stream, "cancel-task", &cancel()), HEXLOWER.encode(&Sha256::digest(text)));
    }

    #[test]
    fn one_key_of_two_workspaces_on_a_shared_stream_is_two_commands() {
        let call = call(Conditions::default());
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
    fn only_a_real_trace_context_is_handed_on() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let call = call(Conditions::default());
        assert_eq!(call.clone().traced(Some(good)).traceparent.as_deref(), Some(good));
        assert_eq!(call.traced(Some("x")).traceparent, None);
    }
}
