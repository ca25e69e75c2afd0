//! The metadata of a commit: actor, times, cause.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The actor that caused a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Actor {
    /// A caller of the API or of the NATS surface.
    Client {
        /// The name its token carries, or `anonymous` where no token is asked for.
        name: String,
    },
    /// The worker that holds the lease of the task, or executes the tool call the commit is about: an earlier event of the
    /// stream names it.
    Worker,
    /// The engine, acting on a rule or a timer.
    Engine,
    /// Capstan itself, while it sets up or repairs.
    System,
}

/// The mark of a command that may be repeated: same key, same answer, for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Idempotency {
    /// The key as the caller gave it.
    pub key: String,
    /// Keyed hash of what a repeat must have in common, in URL-safe base64: the same key with another body is a conflict. The
    /// hash has a key of the log, so that a short body cannot be guessed from it.
    pub fingerprint: String,
}

/// The metadata of a commit, stored beside its events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Metadata {
    /// Time of the decision, by the clock of the process that took it.
    pub occurred_at: DateTime<Utc>,
    /// The actor that caused it.
    pub actor: Actor,
    /// The command's wire name, for example `accept-agent-command`.
    pub command: String,
    /// The conversation this belongs to; handed on from cause to effect.
    pub correlation_id: Uuid,
    /// The command or commit that directly caused this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<Uuid>,
    /// W3C trace context of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// Present when the caller gave an idempotency key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency: Option<Idempotency>,
}

impl Metadata {
    /// The metadata of a command that nothing caused, without trace and key.
    pub fn new(command: &str, actor: Actor, correlation_id: Uuid, occurred_at: DateTime<Utc>) -> Self {
        Self {
            occurred_at,
            actor,
            command: command.to_owned(),
            correlation_id,
            causation_id: None,
            traceparent: None,
            idempotency: None,
        }
    }
}
