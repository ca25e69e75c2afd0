//! The shapes that are stored: structs and enums of events.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// Declares stored structs: serde and schema derives. What is absent is not written, nor what the commit says itself.
macro_rules! stored {
    ($($(#[$meta:meta])* pub struct $name:ident { $($(#[$field_meta:meta])* pub $field:ident : $type:ty,)* })*) => {$(
        $(#[$meta])*
        #[serde_with::skip_serializing_none]
        #[serde_with::apply(
            At => #[serde(default = "crate::implied::at", skip_serializing_if = "crate::implied::is_at")]
                #[schemars(transform = crate::implied::drawn)],
            Own<AgentId> => #[serde(default = "crate::implied::entity::<AgentId>")]
                #[serde(skip_serializing_if = "crate::implied::is_entity")]
                #[schemars(transform = crate::implied::drawn)],
            Own<ChannelId> => #[serde(default = "crate::implied::entity::<ChannelId>")]
                #[serde(skip_serializing_if = "crate::implied::is_entity")]
                #[schemars(transform = crate::implied::drawn)],
            Own<ScheduleId> => #[serde(default = "crate::implied::entity::<ScheduleId>")]
                #[serde(skip_serializing_if = "crate::implied::is_entity")]
                #[schemars(transform = crate::implied::drawn)],
            Own<TaskId> => #[serde(default = "crate::implied::entity::<TaskId>")]
                #[serde(skip_serializing_if = "crate::implied::is_entity")]
                #[schemars(transform = crate::implied::drawn)],
            Own<TokenId> => #[serde(default = "crate::implied::entity::<TokenId>")]
                #[serde(skip_serializing_if = "crate::implied::is_entity")]
                #[schemars(transform = crate::implied::drawn)],
            OwnWorkspace => #[serde(default = "crate::implied::workspace")]
                #[serde(skip_serializing_if = "crate::implied::is_workspace")]
                #[schemars(transform = crate::implied::drawn)],
            RunId => #[serde(default = "crate::implied::run", with = "crate::implied::run")]
                #[serde(skip_serializing_if = "crate::implied::is_run")]
                #[schemars(with = "crate::implied::DrawnRun", transform = crate::implied::drawn)],
            Option<RunId> => #[serde(default, with = "crate::implied::optional_run")]
                #[schemars(with = "Option<crate::implied::DrawnRun>")],
            AttemptId => #[serde(default = "crate::implied::attempt", with = "crate::implied::attempt")]
                #[serde(skip_serializing_if = "crate::implied::is_attempt")]
                #[schemars(with = "crate::implied::DrawnAttempt", transform = crate::implied::drawn)],
            BlockerId => #[serde(default = "crate::implied::blocker", with = "crate::implied::blocker")]
                #[serde(skip_serializing_if = "crate::implied::is_blocker")]
                #[schemars(with = "crate::implied::DrawnBlocker", transform = crate::implied::drawn)],
            Option<BlockerId> => #[serde(default, with = "crate::implied::optional_blocker")]
                #[schemars(with = "Option<crate::implied::DrawnBlocker>")],
        )]
        #[derive(Clone, Debug, PartialEq, ::serde::Serialize, ::serde::Deserialize, ::schemars::JsonSchema)]
        pub struct $name { $($(#[$field_meta])* pub $field: $type,)* }
    )*};
}

/// Declares stored choices, each with its word on the wire.
macro_rules! choice {
    ($($(#[$meta:meta])* pub enum $name:ident {
        $($(#[$variant_meta:meta])* $variant:ident = $word:literal,)*
    })*) => {$(
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
            ::serde::Serialize, ::serde::Deserialize, ::schemars::JsonSchema,
        )]
        pub enum $name { $($(#[$variant_meta])* #[serde(rename = $word)] $variant,)* }

        impl $name {
            /// Every choice, in the order of their declaration.
            pub const ALL: [Self; [$($word),*].len()] = [$(Self::$variant,)*];

            /// The word on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    )*};
}

/// Bytes of a value as JSON.
pub(crate) fn json_bytes(value: &(impl serde::Serialize + ?Sized)) -> usize {
    struct Counter(usize);
    impl std::io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.saturating_add(bytes.len());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    // What cannot be written is as large as nothing can be: it is refused like what is too large.
    serde_json::to_writer(&mut counter, value).map_or(usize::MAX, |()| counter.0)
}

/// A type whose default is nothing: absent, empty, zero. Only such a default may be left out for its own sake, because another
/// one could change with the code (`implied/frozen.rs` has those).
pub(crate) trait Nothing: Default + PartialEq {}

impl Nothing for u32 {}
impl Nothing for u64 {}
impl Nothing for f64 {}
impl Nothing for bool {}
impl Nothing for String {}
impl<T: PartialEq> Nothing for Option<T> {}
impl<T: PartialEq> Nothing for Vec<T> {}
impl<K: Ord, V: PartialEq> Nothing for BTreeMap<K, V> {}
impl<T: Ord> Nothing for BTreeSet<T> {}
impl Nothing for Map<String, Value> {}

/// True for a value that is not written because it is nothing.
pub(crate) fn is_nothing<T: Nothing>(value: &T) -> bool {
    *value == T::default()
}
