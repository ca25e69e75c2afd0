//! The links of the hash chain.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// SHA-256 of a commit's stream and stored text; its text is URL-safe base64 without padding, 43 characters.
///
/// Every commit names the hash of the commit before it on its stream, so that a lost, changed or foreign
/// commit shows wherever the chain is walked.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CommitHash([u8; Self::BYTES]);

impl CommitHash {
    /// The predecessor that the first commit of a stream names.
    pub const NONE: Self = Self([0; Self::BYTES]);

    /// Length in bytes.
    pub const BYTES: usize = 32;

    /// The hash with these bytes.
    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn to_bytes(self) -> [u8; Self::BYTES] {
        self.0
    }

    /// Hashes one commit: the name of its stream as in subjects (`<workspace>.<category>.<id>`, which holds no line
    /// break), a line break, the stored text.
    pub fn of(stream: &str, text: &[u8]) -> Self {
        let hasher = Sha256::new().chain_update(stream).chain_update(b"\n").chain_update(text);
        Self(hasher.finalize().into())
    }

    /// The leading bytes, as a short mark of the commit.
    pub(crate) fn first_bytes<const N: usize>(self) -> [u8; N] {
        std::array::from_fn(|index| self.0[index])
    }
}

impl Default for CommitHash {
    fn default() -> Self {
        Self::NONE
    }
}

impl fmt::Display for CommitHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        BASE64URL_NOPAD.encode_display(&self.0).fmt(f)
    }
}

impl fmt::Debug for CommitHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommitHash({self})")
    }
}

/// A text that is not a commit hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a commit hash: expected 43 characters of URL-safe base64")]
pub struct ParseHashError;

impl FromStr for CommitHash {
    type Err = ParseHashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; Self::BYTES];
        let is_whole = BASE64URL_NOPAD.decode_len(text.len()) == Ok(Self::BYTES);
        if !is_whole || BASE64URL_NOPAD.decode_mut(text.as_bytes(), &mut bytes).is_err() {
            return Err(ParseHashError);
        }
        Ok(Self(bytes))
    }
}

impl Serialize for CommitHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CommitHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
