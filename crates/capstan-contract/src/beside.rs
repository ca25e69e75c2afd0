//! Fields that apply to every request of a kind and stand beside its own.

use capstan_envelope::Position;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

/// The headers that stand for fields beside a request, over HTTP and NATS, each with its field.
pub const HEADERS: &[(&str, &str)] = &[
    ("Idempotency-Key", "idempotency_key"),
    ("Capstan-Command-Id", "command_id"),
    ("If-Match", "expected_version"),
    ("Capstan-Lease-Epoch", "lease_epoch"),
    ("Capstan-Min-Position", "min_position"),
    // A caller may send back the header of an answer as it is.
    ("Capstan-Position", "min_position"),
    ("Last-Event-ID", "last_event_id"),
];

/// Fields that may stand in every request of a kind, and are not part of the request.
pub trait Beside: DeserializeOwned + JsonSchema + Send + 'static {
    /// Their names.
    const NAMES: &'static [&'static str];

    /// The position the read models must have reached before the request is answered.
    fn min_position(&self) -> Option<Position> {
        None
    }

    /// The longest wait for the position, in milliseconds.
    fn wait_ms(&self) -> Option<u32> {
        None
    }
}

/// Declares the fields beside a kind of request and lists their names.
macro_rules! beside {
    (
        $(#[$doc:meta])* $kind:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* } $($of_trait:item)*
    ) => {
        $(#[$doc])*
        #[serde_with::skip_serializing_none]
        #[derive(Clone, Debug, PartialEq, Eq, ::serde::Serialize, ::serde::Deserialize, ::schemars::JsonSchema)]
        pub struct $kind {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl $crate::beside::Beside for $kind {
            const NAMES: &'static [&'static str] = &[$(stringify!($field),)*];

            $($of_trait)*
        }
    };
}

pub(crate) use beside;
