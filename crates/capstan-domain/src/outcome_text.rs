//! The fallback for workers that state no error class: reading the error text.

use serde::{Deserialize, Serialize};

use schemars::JsonSchema;

/// The class of an error: whether another attempt may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// Another attempt may succeed.
    Retryable,
    /// Another attempt would fail the same way.
    Terminal,
    /// Another attempt may succeed after the pause the worker names.
    RateLimited,
}

/// Texts that indicate a transient error.
const PASSING: &[&str] = &[
    "already in use",
    "still held",
    "not durable",
    "toomanyrequests",
    "rate exceeded",
    "rate limit",
    "throttl",
    "429",
    "connection refused",
    "connection reset",
    "i/o timeout",
    "no such host",
    "tls handshake timeout",
    "service unavailable",
    "503",
    "temporary failure",
    "failed to fetch image",
    "failed to pull",
    "failed to prepare rootfs",
    "sandbox exited before startup",
    "failed to start sandbox",
    "no conversation found",
    "orphaned run recovered",
    "invalid token",
    "mount process exited before",
];

/// Classifies an error text when the worker stated no class.
pub fn classify(error: &str) -> ErrorClass {
    let error = error.to_lowercase();
    if PASSING.iter().any(|fragment| error.contains(fragment)) {
        ErrorClass::Retryable
    } else {
        ErrorClass::Terminal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passing_trouble_is_retryable_and_anything_else_is_not() {
        assert_eq!(classify("HTTP 429 from the model"), ErrorClass::Retryable);
        assert_eq!(classify("TLS handshake timeout"), ErrorClass::Retryable);
        assert_eq!(classify("boom"), ErrorClass::Terminal);
    }
}
