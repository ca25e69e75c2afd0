//! Access to the api without a token of a workspace.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Access to the routes under `/v1` for callers without a token of a workspace.
#[derive(Clone)]
pub enum Access {
    /// Every caller on this machine, without a token.
    Loopback,
    /// Callers with the admin token of the installation.
    Token(AdminToken),
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Loopback => "Loopback",
            Self::Token(_) => "Token(..)",
        })
    }
}

/// The hash of the admin token of the installation; the token itself is not kept.
#[derive(Clone)]
pub struct AdminToken([u8; 32]);

/// The admin token is too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the admin token must have at least {} characters; make one with: openssl rand -hex 32",
    AdminToken::CHARACTERS_MIN
)]
pub struct AdminTokenTooShort;

impl AdminToken {
    /// Shortest admin token, in characters.
    pub const CHARACTERS_MIN: usize = 32;

    /// Keeps the hash of a token.
    pub fn new(token: &str) -> Result<Self, AdminTokenTooShort> {
        let is_long = token.chars().count() >= Self::CHARACTERS_MIN;
        is_long.then(|| Self(Sha256::digest(token.as_bytes()).into())).ok_or(AdminTokenTooShort)
    }

    /// Compares hashes in constant time.
    pub(crate) fn is(&self, token: &str) -> bool {
        let given: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        self.0.ct_eq(&given).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_token_is_long_and_known_by_its_hash_only() {
        let token = "0123456789abcdef0123456789abcdef";
        assert!(AdminToken::new(&token[1..]).is_err());
        let admin = AdminToken::new(token).unwrap();
        assert!(admin.is(token) && !admin.is(&token[1..]) && !admin.is(""));
        assert_eq!(format!("{:?}", Access::Token(admin)), "Token(..)");
    }
}
