//! The text of a token: `cap_<workspace>.<token id>.<secret>`.
//!
//! Workspace and id name the token's stream, so no search is needed; the secret is 256 random bits. The SHA-256 of the
//! whole text is stored. A slow or salted hash protects secrets that people choose; random bits cannot be guessed, and a
//! fast hash keeps every request cheap.

use std::fmt;

use capstan_domain::id::TokenId;
use capstan_envelope::Workspace;
use data_encoding::HEXLOWER;
use rand::RngExt as _;
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::fmt::Simple;

/// Prefix of every token, for secret scanners.
const PREFIX: &str = "cap_";
/// Longest token read, in bytes.
const BYTES_MAX: usize = 512;

/// The token of an `Authorization` header.
pub(crate) fn from_header(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// A token presented by a caller.
pub(crate) struct Bearer<'a> {
    pub(crate) workspace: Workspace,
    pub(crate) token_id: TokenId,
    text: &'a str,
}

impl<'a> Bearer<'a> {
    /// Parses the text; nothing when it is not a token.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.strip_prefix(PREFIX).filter(|_| text.len() <= BYTES_MAX)?.split('.');
        let (workspace, token_id, _secret) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let token_id = TokenId(token_id.parse::<Simple>().ok()?.into_uuid());
        Some(Self { workspace: Workspace::new(workspace).ok()?, token_id, text })
    }

    /// True when the token has this hash, compared in constant time.
    pub(crate) fn has_hash(&self, secret_hash: &str) -> bool {
        hash(self.text).as_bytes().ct_eq(secret_hash.as_bytes()).into()
    }
}

fn hash(text: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(text.as_bytes()))
}

/// A secret that is returned once and never logged.
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

/// A new token: its text, and the parts that are stored.
pub(crate) struct Minted {
    pub(crate) secret: Secret,
    pub(crate) secret_hash: String,
    pub(crate) last_four: String,
}

/// Generates a token.
pub(crate) fn mint(workspace: &Workspace, token_id: TokenId) -> Minted {
    let bits: [u8; 32] = rand::rng().random();
    let text = format!("{PREFIX}{workspace}.{}.{}", token_id.0.simple(), HEXLOWER.encode(&bits));
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
        let bearer = Bearer::parse(&text).unwrap();
        assert_eq!((&bearer.workspace, bearer.token_id), (&workspace, token_id));
        assert!(bearer.has_hash(&minted.secret_hash) && text.ends_with(&minted.last_four));
        assert!(!Bearer::parse(&format!("{text}0")).unwrap().has_hash(&minted.secret_hash));
        assert_ne!(mint(&workspace, token_id).secret_hash, minted.secret_hash);
        assert_eq!(format!("{:?}", minted.secret), "Secret(..)");
    }

    #[test]
    fn what_cannot_be_a_token_is_looked_up_nowhere() {
        let id = Uuid::from_u128(7).simple();
        for text in ["", "cap_", "cap_dev", "s3cret", "cap_dev.x.y"] {
            assert!(Bearer::parse(text).is_none(), "{text}");
        }
        assert!(Bearer::parse(&format!("cap_dev.{id}.a.b")).is_none());
        assert!(Bearer::parse(&format!("cap_d v.{id}.a")).is_none());
        assert!(Bearer::parse(&format!("cap_dev.{id}.{}", "a".repeat(600))).is_none());
    }

    #[test]
    fn only_the_bearer_scheme_carries_tokens() {
        assert_eq!(from_header("bearer  x "), Some("x"));
        assert_eq!(from_header("Basic x"), None);
        assert_eq!(from_header("x"), None);
    }
}
