//! The context of a command: caller, time, conditions.

use std::borrow::Cow;

use capstan_envelope::{Actor, Idempotency, Metadata};
use capstan_eventlog::FingerprintKey;
use chrono::{DateTime, Utc};
use uuid::Uuid;

/// What gives the commit of a command its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitName {
    /// The command's id, whatever it is: by it a repeat is known.
    OfCommand,
    /// The commit itself: nobody repeats the command, which has no id.
    OfContent,
}

/// Caller, time and conditions of a command.
#[derive(Clone, Debug)]
pub struct CommandContext {
    /// Identity of the command. The same over every try.
    pub command_id: Uuid,
    /// What gives the commit its id.
    pub commit_name: CommitName,
    /// Wire name of the command, for example `cancel-task`.
    pub command: &'static str,
    /// Caller of the command.
    pub actor: Actor,
    /// The conversation it belongs to.
    pub correlation_id: Uuid,
    /// The command or commit that caused it.
    pub causation_id: Option<Uuid>,
    /// W3C trace context of the request.
    pub traceparent: Option<String>,
    /// Time the command was received, by this process' clock.
    pub occurred_at: DateTime<Utc>,
    /// Present when the command may be repeated and must then be answered as the first time. The command id must
    /// then be derived from the key. The fingerprint is a hash of the body; it is stored under the key of the log.
    pub idempotency: Option<Idempotency>,
    /// Act only when the stream has exactly this many commits.
    pub expected_version: Option<u64>,
}

impl CommandContext {
    /// The context of a command that nothing caused and that has no condition; its id is its correlation id too.
    pub fn new(command_id: Uuid, command: &'static str, actor: Actor, occurred_at: DateTime<Utc>) -> Self {
        Self {
            command_id,
            commit_name: CommitName::OfCommand,
            command,
            actor,
            correlation_id: command_id,
            causation_id: None,
            traceparent: None,
            occurred_at,
            idempotency: None,
            expected_version: None,
        }
    }

    /// The context of a command that nobody repeats: under a condition that its own commit ends.
    pub fn unnamed(
        command: &'static str,
        actor: Actor,
        occurred_at: DateTime<Utc>,
        expected_version: u64,
    ) -> Self {
        Self {
            commit_name: CommitName::OfContent,
            expected_version: Some(expected_version),
            ..Self::new(Uuid::nil(), command, actor, occurred_at)
        }
    }

    /// This context with the fingerprint as it is stored, under the key of the log; itself when it has none.
    pub(crate) fn keyed(&self, key: &FingerprintKey) -> Cow<'_, Self> {
        let Some(given) = &self.idempotency else { return Cow::Borrowed(self) };
        let fingerprint = key.fingerprint(&given.fingerprint);
        let keyed = Idempotency { key: given.key.clone(), fingerprint };
        Cow::Owned(Self { idempotency: Some(keyed), ..self.clone() })
    }

    /// The commit's metadata.
    pub(crate) fn metadata(&self) -> Metadata {
        Metadata {
            causation_id: self.causation_id,
            traceparent: self.traceparent.clone(),
            idempotency: self.idempotency.clone(),
            ..Metadata::new(self.command, self.actor.clone(), self.correlation_id, self.occurred_at)
        }
    }
}
