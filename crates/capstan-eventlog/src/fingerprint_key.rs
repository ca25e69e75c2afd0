//! The key of a log for the fingerprints of command bodies.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Bytes of a stored fingerprint: enough to tell bodies apart, since nobody gains by two bodies of one key.
const FINGERPRINT_BYTES: usize = 16;

/// Drawn when the log is created and kept in the metadata of its stream, not in its messages. A plain hash of a short text
/// could be guessed from a copy of the messages after the text itself was erased.
#[derive(Clone, PartialEq, Eq)]
pub struct FingerprintKey([u8; 32]);

impl FingerprintKey {
    /// A fresh key.
    pub(crate) fn draw() -> Self {
        Self(rand::random())
    }

    /// The stored fingerprint of a body: the first 16 bytes of the HMAC-SHA256 of what identifies it, in URL-safe base64.
    pub fn fingerprint(&self, identity: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0)
            .unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
        mac.update(identity.as_bytes());
        BASE64URL_NOPAD.encode(&mac.finalize().into_bytes()[..FINGERPRINT_BYTES])
    }

    /// The key as text, for the copy of a log.
    pub fn to_text(&self) -> String {
        HEXLOWER.encode(&self.0)
    }
}

impl fmt::Debug for FingerprintKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FingerprintKey")
    }
}

/// A text that is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a fingerprint key: expected 64 lower-case hex digits")]
pub struct ParseFingerprintKeyError;

impl FromStr for FingerprintKey {
    type Err = ParseFingerprintKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| ParseFingerprintKeyError)?;
        bytes.try_into().map(Self).map_err(|_| ParseFingerprintKeyError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_depends_on_key_and_body_and_the_key_is_shown_nowhere() {
        let (one, two) = (FingerprintKey::draw(), FingerprintKey::draw());
        assert_eq!(one.fingerprint("yes"), one.fingerprint("yes"));
        assert_ne!(one.fingerprint("yes"), one.fingerprint("no"));
        assert_ne!(one.fingerprint("yes"), two.fingerprint("yes"));
        assert_eq!(one.fingerprint("yes").len(), 22);
        assert_eq!(one.to_text().parse(), Ok(one.clone()));
        assert!(!format!("{one:?}").contains(&one.to_text()));
        assert!("00".parse::<FingerprintKey>().is_err());
    }
}
