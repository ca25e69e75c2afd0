//! The context of a command: caller, time, conditions.

use std::borrow::Cow;

use capstan_envelope::{Actor, CommitId, Idempotency, Metadata};
use capstan_eventlog::FingerprintKey;
use chrono::{DateTime, Utc};
use uuid::Uuid;

/// Caller, time and conditions of a command that has an id.
#[derive(Clone, Debug)]
pub struct CommandContext {
    /// Identity of the command and its commit. The same over every try.
    pub command_id: Uuid,
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

    /// This context with the fingerprint as it is stored, under the key of the log; itself when it has none.
    pub(crate) fn keyed(&self, key: &FingerprintKey) -> Cow<'_, Self> {
        let Some(given) = &self.idempotency else { return Cow::Borrowed(self) };
        let fingerprint = key.fingerprint(&given.fingerprint);
        let keyed = Idempotency { key: given.key.clone(), fingerprint };
        Cow::Owned(Self { idempotency: Some(keyed), ..self.clone() })
    }
}

/// Caller, time and condition of a command that nobody repeats, because its own commit ends the condition. It has no id, and
/// its commit is named by its content.
#[derive(Clone, Debug)]
pub struct OnceContext {
    /// Wire name of the command.
    pub command: &'static str,
    /// Caller of the command.
    pub actor: Actor,
    /// Time the command was received, by this process' clock.
    pub occurred_at: DateTime<Utc>,
    /// Act only when the stream has exactly this many commits.
    pub expected_version: u64,
}

/// The context of any command.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Context<'a> {
    /// It has an id, by which a repeat is known.
    Named(&'a CommandContext),
    /// Nobody repeats it.
    Once(&'a OnceContext),
}

impl<'a> From<&'a CommandContext> for Context<'a> {
    fn from(context: &'a CommandContext) -> Self {
        Self::Named(context)
    }
}

impl<'a> Context<'a> {
    /// Number of commits that the stream must have.
    pub(crate) fn expected_version(self) -> Option<u64> {
        match self {
            Self::Named(context) => context.expected_version,
            Self::Once(context) => Some(context.expected_version),
        }
    }

    /// Time the command was received.
    pub(crate) fn occurred_at(self) -> DateTime<Utc> {
        match self {
            Self::Named(context) => context.occurred_at,
            Self::Once(context) => context.occurred_at,
        }
    }

    /// The command's id and the mark that it may be repeated, if it may be.
    pub(crate) fn repeatable(self) -> Option<(CommitId, &'a Idempotency)> {
        match self {
            Self::Named(context) => Some((CommitId(context.command_id), context.idempotency.as_ref()?)),
            Self::Once(_) => None,
        }
    }

    /// The commit's id and metadata; without an id where its content gives it, and the conversation too.
    pub(crate) fn metadata(self) -> (Option<CommitId>, Metadata) {
        match self {
            Self::Named(context) => {
                let (actor, at) = (context.actor.clone(), context.occurred_at);
                let metadata = Metadata {
                    causation_id: context.causation_id,
                    traceparent: context.traceparent.clone(),
                    idempotency: context.idempotency.clone(),
                    ..Metadata::new(context.command, actor, context.correlation_id, at)
                };
                (Some(CommitId(context.command_id)), metadata)
            }
            Self::Once(OnceContext { command, actor, occurred_at, .. }) => {
                (None, Metadata::new(command, actor.clone(), Uuid::default(), *occurred_at))
            }
        }
    }
}
