//! Faults of a command's fields, reported all at once.

use std::fmt::Display;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::finite::{AMOUNT_MAX, is_amount};
use crate::span::SPAN_MS_MAX;

/// One fault of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fault {
    /// JSON pointer to the field, for example `/policy/host`.
    pub pointer: String,
    /// The fault and the limit, for people.
    pub message: String,
}

/// Collects faults, so that one answer reports all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Adds a fault.
    pub fn add(&mut self, pointer: &str, message: impl Into<String>) {
        self.0.push(Fault { pointer: pointer.to_owned(), message: message.into() });
    }

    /// Adds a fault unless `holds`.
    pub fn require(&mut self, holds: bool, pointer: &str, message: impl Display) {
        if !holds {
            self.add(pointer, message.to_string());
        }
    }

    /// Runs the check of a part; the pointers of its faults are put below `pointer`.
    pub fn within<T>(&mut self, pointer: &str, check: impl FnOnce(&mut Self) -> T) -> T {
        let mut own = Self::default();
        let checked = check(&mut own);
        for Fault { pointer: below, message } in own.0 {
            self.add(&format!("{pointer}{below}"), message);
        }
        checked
    }

    /// The value of a check that names its own faults; none when it has any.
    pub fn valid<T>(&mut self, checked: Result<T, Vec<Fault>>) -> Option<T> {
        checked.map_err(|faults| self.0.extend(faults)).ok()
    }

    /// The text without blanks around it; a blank one is a fault.
    pub fn required<'a>(&mut self, pointer: &str, text: &'a str) -> &'a str {
        let text = text.trim();
        self.require(!text.is_empty(), pointer, format_args!("{} is required", field(pointer)));
        text
    }

    /// Notes a text of more than `bytes_max` bytes.
    pub fn at_most(&mut self, pointer: &str, text: &str, bytes_max: usize) {
        let message = format_args!("{} must be at most {bytes_max} bytes", field(pointer));
        self.require(text.len() <= bytes_max, pointer, message);
    }

    /// Notes an amount that is negative, not finite or absurd.
    pub fn amount(&mut self, pointer: &str, value: Option<f64>) {
        let message = format_args!("{} must be >= 0 and at most {AMOUNT_MAX:e}", field(pointer));
        self.require(value.is_none_or(is_amount), pointer, message);
    }

    /// Notes a span, in milliseconds, that is longer than any command may name.
    pub fn span(&mut self, pointer: &str, ms: Option<i64>) {
        self.require(ms.is_none_or(|ms| ms <= SPAN_MS_MAX), pointer, "must be at most a century");
    }

    /// The faults as an error, or nothing when there are none.
    pub fn into_result(self) -> Result<(), Vec<Fault>> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0) }
    }
}

/// The pointer to an entry of a map below a pointer.
pub(crate) fn below(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// The name of the field a pointer leads to.
fn field(pointer: &str) -> &str {
    pointer.rsplit('/').next().unwrap_or(pointer)
}
