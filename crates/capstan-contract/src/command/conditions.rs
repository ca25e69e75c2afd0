use capstan_domain::id::{AttemptId, WorkerId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::beside::Beside;

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
        #[serde(default, skip_serializing_if = "Option::is_none")]
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
        #[serde(default, skip_serializing_if = "Option::is_none")]
        idempotency_key: Option<String>,
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
        #[serde(default, skip_serializing_if = "Option::is_none")]
        idempotency_key: Option<String>,
    }
}

conditions! {
    /// No fields beside the body.
    #[derive(Copy, Default)]
    Unconditional {}
}
