use capstan_domain::id::{AttemptId, WorkerId};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use crate::beside::Beside;

/// Longest idempotency key, in bytes.
const KEY_BYTES_MAX: usize = 512;

/// Reads an idempotency key.
fn key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let key = Option::<String>::deserialize(deserializer)?;
    if key.as_ref().is_some_and(|key| key.trim().is_empty() || key.len() > KEY_BYTES_MAX) {
        let limits = format_args!("must have 1 to {KEY_BYTES_MAX} bytes and not be blank");
        return Err(serde::de::Error::custom(limits));
    }
    Ok(key)
}

/// Declares fields that stand beside those of a body, and lists their names.
macro_rules! conditions {
    ($(#[$doc:meta])* $kind:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        pub struct $kind {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl Beside for $kind {
            const NAMES: &'static [&'static str] = &[$(stringify!($field),)*];
        }
    };
}

conditions! {
    /// Fields that may stand in the body of every command of a caller, beside its own.
    #[derive(Default)]
    Conditions {
        /// Key of the command, 1 to 512 bytes: a repeat under the same key is answered with the first outcome.
        #[serde(default, deserialize_with = "key", skip_serializing_if = "Option::is_none")]
        #[schemars(length(min = 1, max = 512))]
        idempotency_key: Option<String>,
        /// Id of the command, chosen by the sender. Without a key, a repeat under the same id is answered with the first outcome.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        command_id: Option<Uuid>,
        /// Version its entity must have, as in the `ETag` of a read; the command is refused when it has another.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected_version: Option<u64>,
    }
}

conditions! {
    /// Fields beside a command that changes no single entity that reads show with its version: no version can be expected.
    #[derive(Default)]
    KeyConditions {
        /// Key of the command, 1 to 512 bytes: a repeat under the same key is the same command.
        #[serde(default, deserialize_with = "key", skip_serializing_if = "Option::is_none")]
        #[schemars(length(min = 1, max = 512))]
        idempotency_key: Option<String>,
        /// Id of the command, chosen by the sender. Without a key, a repeat under the same id is the same command.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        command_id: Option<Uuid>,
    }
}

impl From<KeyConditions> for Conditions {
    fn from(KeyConditions { idempotency_key, command_id }: KeyConditions) -> Self {
        Self { idempotency_key, command_id, expected_version: None }
    }
}

conditions! {
    /// Fields beside a batch of commands.
    #[derive(Default)]
    BatchConditions {
        /// Key of the batch, 1 to 512 bytes: with its place, the key of each command that has no key of its own.
        #[serde(default, deserialize_with = "key", skip_serializing_if = "Option::is_none")]
        #[schemars(length(min = 1, max = 512))]
        idempotency_key: Option<String>,
    }
}

conditions! {
    /// Fields beside the body of a call of the worker that holds the lease of an attempt.
    LeaseConditions {
        /// Id of the attempt.
        attempt_id: AttemptId,
        /// Epoch of the lease; a call under a lease that is gone changes nothing.
        lease_epoch: u64,
        /// Key of the call, 1 to 512 bytes: a repeat under the same key is answered with the first outcome.
        #[serde(default, deserialize_with = "key", skip_serializing_if = "Option::is_none")]
        #[schemars(length(min = 1, max = 512))]
        idempotency_key: Option<String>,
        /// Id of the call, chosen by the sender. Without a key, a repeat under the same id is answered with the first outcome.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        command_id: Option<Uuid>,
    }
}

conditions! {
    /// Fields beside the body of a call of the worker that holds the claim of a tool call.
    ClaimConditions {
        /// Id of the worker.
        worker_id: WorkerId,
        /// The claim, as answered with the tool call.
        claim: String,
        /// Key of the call, 1 to 512 bytes: a repeat under the same key is answered with the first outcome.
        #[serde(default, deserialize_with = "key", skip_serializing_if = "Option::is_none")]
        #[schemars(length(min = 1, max = 512))]
        idempotency_key: Option<String>,
        /// Id of the call, chosen by the sender. Without a key, a repeat under the same id is answered with the first outcome.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        command_id: Option<Uuid>,
    }
}

conditions! {
    /// No fields beside the body.
    #[derive(Copy, Default)]
    Unconditional {}
}
