//! Defaults that stored events and states leave out, other than nothing (absent, empty, zero).
//!
//! They stand in `schemas/defaults/stored.v1.json` and never change, whatever the default of new commands becomes: a default
//! that is taken from the reading build would change what old events say.

use std::sync::LazyLock;

use serde::Deserialize;

use super::context::{is_stored, unsaid};
use crate::task::event::{InputKind, InputSource, OutputStatus, ParentClose, Priority, QueueMode};

/// The frozen file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Frozen {
    /// The longest time of an attempt, in milliseconds.
    timeout_ms: i64,
    /// The time of a lease, in milliseconds.
    lease_ms: i64,
    /// The number of a try, and of the runs of a subtask that ended.
    first: u32,
    priority: Priority,
    parent_close: ParentClose,
    #[serde(rename = "input_kind")]
    text_kind: InputKind,
    queue_mode: QueueMode,
    input_source: InputSource,
    output_status: OutputStatus,
    agent_role: String,
    memory_scope: String,
    /// Whether an agent takes commands.
    active: bool,
}

static FROZEN: LazyLock<Frozen> = LazyLock::new(|| {
    let read = serde_json::from_str(include_str!("../../../../schemas/defaults/stored.v1.json"));
    read.unwrap_or_else(|error| unreachable!("a test reads the frozen file: {error}"))
});

/// Declares the functions of a field that the stored form leaves out when it has the frozen value. Whole, the field is there.
macro_rules! stored_only {
    ($($name:ident, $is_name:ident: $type:ty;)*) => {$(
        pub(crate) fn $name() -> $type {
            let frozen = FROZEN.$name.to_owned();
            if is_stored() { frozen } else { unsaid(frozen) }
        }

        pub(crate) fn $is_name(value: &$type) -> bool {
            is_stored() && *value == FROZEN.$name
        }
    )*};
}

stored_only! {
    timeout_ms, is_timeout_ms: i64;
    lease_ms, is_lease_ms: i64;
    first, is_first: u32;
    priority, is_priority: Priority;
    text_kind, is_text_kind: InputKind;
    output_status, is_output_status: OutputStatus;
    agent_role, is_agent_role: String;
    memory_scope, is_memory_scope: String;
    active, is_active: bool;
}

/// Declares the functions of an option that is left out everywhere when it has the frozen value: readers of the API get an
/// event without the options nobody chose.
macro_rules! everywhere {
    ($($name:ident, $is_name:ident: $type:ty;)*) => {$(
        pub(crate) fn $name() -> $type {
            FROZEN.$name
        }

        pub(crate) fn $is_name(value: &$type) -> bool {
            *value == FROZEN.$name
        }
    )*};
}

everywhere! {
    parent_close, is_parent_close: ParentClose;
    queue_mode, is_queue_mode: QueueMode;
    input_source, is_input_source: InputSource;
}
