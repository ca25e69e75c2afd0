//! Contexts of commands, and codecs of toy events.

use capstan_dispatch::CommandContext;
use capstan_envelope::{Actor, Idempotency};
use chrono::DateTime;
use uuid::Uuid;

pub(crate) fn context(id: u128) -> CommandContext {
    let at = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
    CommandContext::new(Uuid::from_u128(id), "move-coins", Actor::System, at)
}

pub(crate) fn keyed(id: u128, fingerprint: &str) -> CommandContext {
    let idempotency = Idempotency { key: id.to_string(), fingerprint: fingerprint.into() };
    CommandContext { idempotency: Some(idempotency), ..context(id) }
}

/// The codec of an event that is stored as its JSON.
macro_rules! codec {
    ($codec:ident, $event:ident, $category:literal, $name:literal) => {
        pub(crate) struct $codec;

        impl ::capstan_envelope::Codec for $codec {
            type Event = $event;
            const CATEGORY: &'static str = $category;

            fn encode(
                events: &[$event],
                _: ::capstan_envelope::CommitFacts<'_>,
            ) -> Result<Vec<::capstan_envelope::EventRecord>, ::capstan_envelope::CodecError> {
                let record = |event| {
                    let data = serde_json::value::to_raw_value(event).map_err(|source| {
                        ::capstan_envelope::CodecError::Unwritable { name: $name, source }
                    })?;
                    Ok(::capstan_envelope::EventRecord { name: $name.into(), version: 1, data })
                };
                events.iter().map(record).collect()
            }

            fn decode(
                commit: &::capstan_envelope::Commit,
            ) -> Result<Vec<$event>, ::capstan_envelope::CodecError> {
                if commit.carried()?.is_some() {
                    return Ok(Vec::new());
                }
                let event = |record: &::capstan_envelope::EventRecord| {
                    serde_json::from_str(record.data.get()).map_err(|source| {
                        ::capstan_envelope::CodecError::Malformed {
                            name: record.name.clone(),
                            version: record.version,
                            source,
                        }
                    })
                };
                commit.events.iter().map(event).collect()
            }
        }
    };
}

pub(crate) use codec;
