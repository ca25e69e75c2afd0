//! Errors of calls.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

/// A failed call.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server refused the request, with its reasons.
    #[error("complete the request: {0}")]
    Problem(Box<Problem>),
    /// The server was not reached, or the connection broke; a write may or may not have happened.
    #[error("reach the server")]
    Transport(#[source] reqwest::Error),
    /// The connection of a stream ended, or carried nothing for longer than the server's keep-alives are apart.
    #[error("follow the stream: the connection was lost")]
    Silent,
    /// The log of a stream was reset or restored: there is nothing to resume.
    #[error("resume the stream after {after}: the log does not hold this place, begin again with 0")]
    Diverged {
        /// The event id that the log does not hold.
        after: String,
    },
    /// The server cannot read a commit of the stream.
    #[error(
        "follow the stream: the server cannot read the commit that follows {after}; a newer version of it may be needed"
    )]
    Unreadable {
        /// Id of the last event before the commit.
        after: String,
    },
    /// The request cannot be written as JSON.
    #[error("write the request as JSON")]
    Encode(#[source] serde_json::Error),
    /// The answer has another shape than this client knows.
    #[error("read the server's answer (status {status})")]
    Decode {
        /// The answer's status.
        status: u16,
        /// The parser's error.
        #[source]
        source: serde_json::Error,
    },
    /// The server's address is not a web address.
    #[error("use {url:?} as the server's address")]
    Address {
        /// The refused text.
        url: String,
    },
}

impl Error {
    /// True when the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Transport(source) => !source.is_builder(),
            Self::Silent => true,
            Self::Problem(problem) => matches!(problem.status, 408 | 425 | 429 | 500 | 502..=504),
            Self::Diverged { .. }
            | Self::Unreadable { .. }
            | Self::Encode(_)
            | Self::Decode { .. }
            | Self::Address { .. } => false,
        }
    }

    /// The pause that the server requests before the next try.
    pub fn retry_after(&self) -> Option<Duration> {
        self.problem().and_then(|problem| problem.retry_after)
    }

    /// The server's problem document, when there is one.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) => Some(problem),
            _ => None,
        }
    }

    /// The problem's stable code, for example `lease_lost`.
    pub fn code(&self) -> Option<&str> {
        self.problem().map(|problem| problem.code.as_str())
    }

    /// True when the caller no longer holds the lease it spoke under.
    pub fn is_lease_lost(&self) -> bool {
        self.code() == Some("lease_lost")
    }
}

/// A problem document (RFC 9457).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// The stable code, for example `validation_failed`.
    pub code: String,
    /// The problem in general.
    pub title: String,
    /// The problem in particular.
    pub detail: String,
    /// All faults of the request.
    pub errors: Vec<Fault>,
    /// The pause before the next try.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
    /// Every other field, by its wire name.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// One fault of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Fault {
    /// JSON pointer into the request's body.
    pub pointer: String,
    /// The fault's text.
    #[serde(alias = "detail")]
    pub message: String,
}

impl Problem {
    /// Reads the document; a body that is none is kept as the detail, cut short.
    pub(crate) fn read(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Self {
        let mut problem = serde_json::from_slice(body).unwrap_or_else(|_| Self {
            detail: String::from_utf8_lossy(body).trim().chars().take(500).collect(),
            ..Self::default()
        });
        problem.status = status;
        problem.retry_after = retry_after;
        if problem.code.is_empty() {
            problem.code = format!("http_{status}");
        }
        problem
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.code, self.status)?;
        let text = if self.detail.is_empty() { &self.title } else { &self.detail };
        if !text.is_empty() {
            write!(f, ": {text}")?;
        }
        // The detail of a request with a single fault is that fault.
        for fault in self.errors.iter().filter(|fault| !self.detail.contains(&fault.message)) {
            write!(f, "; {}: {}", fault.pointer, fault.message)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_document_is_read_with_its_faults_and_extras() {
        let body = br#"{"type":"x","title":"Bad","status":422,"code":"validation_failed","detail":"no",
            "errors":[{"pointer":"/message","message":"message is required"}],"current_epoch":4}"#;
        let problem = Problem::read(422, None, body);
        assert_eq!(problem.code, "validation_failed");
        assert_eq!(problem.errors[0].pointer, "/message");
        assert_eq!(problem.rest["current_epoch"], 4);
        assert_eq!(problem.to_string(), "validation_failed (422): no; /message: message is required");
    }

    #[test]
    fn a_single_fault_is_told_once() {
        let body = br#"{"code":"validation_failed","detail":"/priority: \"foo\" is not supported",
            "errors":[{"pointer":"/priority","message":"\"foo\" is not supported"}]}"#;
        let error = Error::Problem(Box::new(Problem::read(422, None, body)));
        let told = r#"complete the request: validation_failed (422): /priority: "foo" is not supported"#;
        assert_eq!(error.to_string(), told);
    }

    #[test]
    fn a_gateway_page_is_still_an_error_with_a_code() {
        let error = Error::Problem(Box::new(Problem::read(502, None, b"<html>bad gateway</html>")));
        assert_eq!(error.code(), Some("http_502"));
        assert!(error.is_retryable());
    }

    #[test]
    fn a_business_no_is_not_retryable() {
        for (status, code) in [(409, "lease_lost"), (422, "validation_failed"), (404, "not_found")] {
            let body = format!(r#"{{"code":"{code}"}}"#);
            let error = Error::Problem(Box::new(Problem::read(status, None, body.as_bytes())));
            assert!(!error.is_retryable(), "{code}");
            assert_eq!(error.is_lease_lost(), code == "lease_lost");
        }
    }
}
