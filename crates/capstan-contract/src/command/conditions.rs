use capstan_domain::id::{AttemptId, WorkerId};
use uuid::Uuid;

use super::IdempotencyKey;
use crate::beside::beside;

/// Declares fields beside a request that may be repeated.
macro_rules! repeatable {
    ($(#[$doc:meta])* $kind:ident { $($own:tt)* }) => {
        beside! {
            $(#[$doc])*
            $kind {
                $($own)*
                /// Key of the command: a repeat under the same key is answered with the first outcome.
                idempotency_key: Option<IdempotencyKey>,
                /// Id of the command, chosen by the sender. Without a key, a repeat under the same id is answered with the first outcome.
                command_id: Option<Uuid>,
            }
        }
    };
}

repeatable! {
    /// Fields that may stand in the body of every command of a caller, beside its own.
    #[derive(Default)]
    Conditions {
        /// Version its entity must have, as in the `ETag` of a read; the command is refused when it has another.
        expected_version: Option<u64>,
    }
}

beside! {
    /// Fields beside a command that changes no single entity that reads show with its version: no version can be expected.
    #[derive(Default)]
    KeyConditions {
        /// Key of the command: a repeat under the same key is the same command.
        idempotency_key: Option<IdempotencyKey>,
        /// Id of the command, chosen by the sender. Without a key, a repeat under the same id is the same command.
        command_id: Option<Uuid>,
    }
}

impl From<KeyConditions> for Conditions {
    fn from(KeyConditions { idempotency_key, command_id }: KeyConditions) -> Self {
        Self { idempotency_key, command_id, expected_version: None }
    }
}

repeatable! {
    /// Fields beside the body of a call of the worker that holds the lease of an attempt.
    LeaseConditions {
        /// Id of the attempt.
        attempt_id: AttemptId,
        /// Epoch of the lease; a call under a lease that is gone changes nothing.
        lease_epoch: u64,
    }
}

repeatable! {
    /// Fields beside the body of a call of the worker that holds the claim of a tool call.
    ClaimConditions {
        /// Id of the worker.
        worker_id: WorkerId,
        /// The claim, as answered with the tool call.
        claim: String,
    }
}

beside! {
    /// Fields beside a batch of commands.
    #[derive(Default)]
    BatchConditions {
        /// Key of the batch: with its place, the key of each command that has no key of its own.
        idempotency_key: Option<IdempotencyKey>,
    }
}

beside! {
    /// No fields beside the body.
    #[derive(Copy, Default)]
    Unconditional {}
}
