use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Longest idempotency key, in characters.
const CHARACTERS_MAX: usize = 512;

/// The key of a command: 1 to 512 characters, not blank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline, with = "String", extend("minLength" = 1, "maxLength" = CHARACTERS_MAX))]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Longest key, in characters.
    pub const CHARACTERS_MAX: usize = CHARACTERS_MAX;
}

impl TryFrom<String> for IdempotencyKey {
    type Error = String;

    fn try_from(key: String) -> Result<Self, Self::Error> {
        if key.trim().is_empty() || key.chars().count() > CHARACTERS_MAX {
            return Err(format!("must have 1 to {CHARACTERS_MAX} characters and not be blank"));
        }
        Ok(Self(key))
    }
}

impl FromStr for IdempotencyKey {
    type Err = String;

    fn from_str(key: &str) -> Result<Self, Self::Err> {
        key.to_owned().try_into()
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_a_length_and_is_not_blank() {
        for key in ["k", " k ", &"ä".repeat(CHARACTERS_MAX)] {
            assert_eq!(key.parse::<IdempotencyKey>().unwrap().to_string(), key);
        }
        for key in ["", "  ", &"ä".repeat(CHARACTERS_MAX + 1)] {
            assert!(key.parse::<IdempotencyKey>().is_err(), "{key:?}");
        }
    }
}
