//! The text of a token: `cap_<workspace>.<token id>.<secret>`.
//!
//! Workspace and id say which stream knows the token, so none has to be searched for; the secret is 256 random bits.
//! What is kept is the SHA-256 of the whole text. A slow or salted hash protects secrets people think up; from these
//! bits nothing can be guessed, and a fast hash keeps every request cheap.

use std::fmt;

use capstan_domain::id::TokenId;
use capstan_envelope::Workspace;
use rand::RngExt as _;
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// How every token begins; lets scanners for lost secrets find them.
const PREFIX: &str = "cap_";
/// Longest text that is looked at.
const BYTES_MAX: usize = 512;

/// The token of an `Authorization` header.
pub(super) fn of_header(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// A token as shown by a caller.
pub(super) struct Bearer<'a> {
    pub(super) workspace: Workspace,
    pub(super) token_id: TokenId,
    text: &'a str,
}

impl<'a> Bearer<'a> {
    /// Takes the text apart; nothing when it cannot be a token.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        let mut parts = text.strip_prefix(PREFIX).filter(|_| text.len() <= BYTES_MAX)?.split('.');
        let (workspace, token_id, _secret) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        Some(Self { workspace: Workspace::new(workspace).ok()?, token_id: token_id.parse().ok()?, text })
    }

    /// True when the text is the one that was issued, in a time that does not say how nearly.
    pub(super) fn has_hash(&self, secret_hash: &str) -> bool {
        hash(self.text).as_bytes().ct_eq(secret_hash.as_bytes()).into()
    }
}

fn hash(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Something that is told once and never logged.
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// A new token: its text, and what is kept of it.
pub(crate) struct Minted {
    pub(crate) secret: Secret,
    pub(crate) secret_hash: String,
    pub(crate) last_four: String,
}

/// Makes a token that nobody can guess.
pub(crate) fn mint(workspace: &Workspace, token_id: TokenId) -> Minted {
    let bits: [u8; 32] = rand::rng().random();
    let text = format!("{PREFIX}{workspace}.{}.{}", token_id.0.simple(), hex(&bits));
    let last_four = text[text.len() - 4..].to_owned();
    Minted { secret_hash: hash(&text), last_four, secret: Secret(text) }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_minted_token_is_read_back_and_known_by_its_hash() {
        let (workspace, token_id) = (Workspace::new("dev-1").unwrap(), TokenId(Uuid::from_u128(7)));
        let minted = mint(&workspace, token_id);
        let text = minted.secret.0.clone();
        let bearer = Bearer::read(&text).unwrap();
        assert_eq!((&bearer.workspace, bearer.token_id), (&workspace, token_id));
        assert!(bearer.has_hash(&minted.secret_hash) && text.ends_with(&minted.last_four));
        assert!(!Bearer::read(&format!("{text}0")).unwrap().has_hash(&minted.secret_hash));
        assert_ne!(mint(&workspace, token_id).secret_hash, minted.secret_hash);
        assert_eq!(format!("{:?}", minted.secret), "Secret(..)");
    }

    #[test]
    fn what_cannot_be_a_token_is_looked_up_nowhere() {
        let id = Uuid::from_u128(7).simple();
        for text in ["", "cap_", "cap_dev", "s3cret", "cap_dev.x.y"] {
            assert!(Bearer::read(text).is_none(), "{text}");
        }
        assert!(Bearer::read(&format!("cap_dev.{id}.a.b")).is_none());
        assert!(Bearer::read(&format!("cap_d v.{id}.a")).is_none());
        assert!(Bearer::read(&format!("cap_dev.{id}.{}", "a".repeat(600))).is_none());
    }

    #[test]
    fn only_the_bearer_scheme_carries_tokens() {
        assert_eq!(of_header("bearer  x "), Some("x"));
        assert_eq!(of_header("Basic x"), None);
        assert_eq!(of_header("x"), None);
    }
}
