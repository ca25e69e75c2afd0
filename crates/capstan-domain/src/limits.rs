//! Lengths of texts that an accepted command keeps: in its stream, in rows, and in columns with an index, where Postgres takes
//! some 2,700 bytes.

use serde::Serialize;

use crate::Faults;
use crate::stored::json_bytes;

/// Longest name of an agent or a worker, and of a thing that is named by a word: a role, a model, a pool, a lane. In bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// Longest id of something outside Capstan: a session, a view, a hook. In bytes.
pub const REFERENCE_BYTES_MAX: usize = 512;
/// Longest path of a skill, in bytes.
pub const PATH_BYTES_MAX: usize = 1024;
/// Longest name of a task for people, in bytes.
pub const LABEL_BYTES_MAX: usize = 1024;
/// Most bytes of a task's labels as JSON.
pub const LABELS_BYTES_MAX: usize = 16 << 10;
/// Most bytes of a task's routing, and of the provenance of its input, as JSON.
pub const ROUTING_BYTES_MAX: usize = 64 << 10;
/// Longest reason for people that a stream keeps, in bytes.
pub const REASON_BYTES_MAX: usize = 4 << 10;
/// Most bytes of the configuration of a channel, as JSON.
pub const CHANNEL_CONFIG_BYTES_MAX: usize = 256 << 10;
/// Most bytes of the resources that a policy demands, as JSON.
pub const RESOURCES_BYTES_MAX: usize = 16 << 10;
/// Most bytes of the prompt of a schedule, as JSON.
pub const SCHEDULE_PROMPT_BYTES_MAX: usize = 512 << 10;
/// Most tools that a worker, or the configuration of an agent, lists.
pub const TOOLS_MAX: usize = 256;

/// Notes an optional text that is too long.
pub(crate) fn check(pointer: &str, text: Option<&str>, bytes_max: usize, faults: &mut Faults) {
    faults.at_most(pointer, text.unwrap_or_default(), bytes_max);
}

/// Notes a value that is too long as JSON.
pub(crate) fn check_json(pointer: &str, value: &impl Serialize, bytes_max: usize, faults: &mut Faults) {
    faults.require(
        json_bytes(value) <= bytes_max,
        pointer,
        format_args!("must be at most {bytes_max} bytes"),
    );
}

/// Notes a list of names that is too long, or one of its names.
pub fn check_names<'a>(pointer: &str, names: impl ExactSizeIterator<Item = &'a str>, faults: &mut Faults) {
    let are_few = names.len() <= TOOLS_MAX;
    let is_short = |name: &str| name.len() <= NAME_BYTES_MAX;
    faults.require(
        are_few && names.into_iter().all(is_short),
        pointer,
        format_args!("must be at most {TOOLS_MAX} names of at most {NAME_BYTES_MAX} bytes"),
    );
}
