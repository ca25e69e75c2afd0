//! Reading without losing anything: a field that no type reads is refused, because a misspelt one would be lost.

use serde::de::{DeserializeOwned, Deserializer, Error};

/// Reads a value; refuses the fields that it does not read, at any depth.
pub fn read<'de, T: DeserializeOwned, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    let mut unknown = Vec::new();
    // The path shows an optional value as `?`.
    let value = serde_ignored::deserialize(from, |path| unknown.push(path.to_string().replace("?.", "")))?;
    if unknown.is_empty() {
        return Ok(value);
    }
    Err(D::Error::custom(format_args!("unknown fields: {}", unknown.join(", "))))
}
