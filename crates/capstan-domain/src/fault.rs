//! What is wrong with a command's fields, all at once.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One thing wrong with a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fault {
    /// JSON pointer to the field, for example `/policy/host`.
    pub pointer: String,
    /// What is wrong, for people.
    pub message: String,
}

/// Collects faults so that a caller learns of all of them in one answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Notes one more fault.
    pub fn add(&mut self, pointer: &str, message: impl Into<String>) {
        self.0.push(Fault { pointer: pointer.to_owned(), message: message.into() });
    }

    /// Notes a fault unless `holds`.
    pub fn require(&mut self, holds: bool, pointer: &str, message: &str) {
        if !holds {
            self.add(pointer, message);
        }
    }

    /// The faults as an error, or nothing when there are none.
    pub fn into_result(self) -> Result<(), Vec<Fault>> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0) }
    }
}
