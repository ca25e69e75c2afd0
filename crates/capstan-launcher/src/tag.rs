//! Unique names.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// A number that differs from call to call and from process to process; not a secret.
pub(crate) fn number() -> u64 {
    // Every `RandomState` is keyed differently, from a seed the system gave this process.
    RandomState::new().build_hasher().finish()
}

/// The same as sixteen hexadecimal digits.
pub(crate) fn unique() -> String {
    format!("{:016x}", number())
}
