//! Problem documents (RFC 9457): how the api says no.
//!
//! Every refusal and failure becomes one [`Problem`] with a stable [`Code`]. Internal text never leaves: what a
//! machine failure was about is logged once, under the correlation id the caller gets to see.

mod code;
mod decision;
mod machinery;

use std::error::Error;
use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use capstan_domain::Fault;
use capstan_envelope::Position;
use serde::Serialize;
use uuid::Uuid;

pub use code::Code;

/// The media type of a problem document.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// A refusal or a failure, ready to be told to the caller.
#[derive(Clone, Debug)]
pub struct Problem {
    /// What kind of no.
    pub code: Code,
    /// What happened this time, for people.
    pub detail: Box<str>,
    /// Every fault of the command, where there are several places.
    pub errors: Box<[Fault]>,
    /// The task's last lease epoch, for a worker whose lease is gone.
    pub current_epoch: Option<u64>,
    /// The entity's version, for a caller who expected another one.
    pub current_version: Option<u64>,
    /// Where the read models stand, for a caller who waited for more.
    pub position: Option<Position>,
    /// How many log positions the read models are behind what was asked for.
    pub lag_events: Option<u64>,
    /// When to try again, in seconds, where that is known.
    pub retry_after: Option<u64>,
    /// What really went wrong; logged, never shown.
    pub source: Option<Arc<dyn Error + Send + Sync>>,
}

impl Problem {
    /// A problem of this kind.
    pub fn new(code: Code, detail: impl Into<Box<str>>) -> Self {
        Self {
            code,
            detail: detail.into(),
            errors: Box::default(),
            current_epoch: None,
            current_version: None,
            position: None,
            lag_events: None,
            retry_after: None,
            source: None,
        }
    }

    /// A command whose fields are wrong.
    pub fn invalid(errors: Vec<Fault>) -> Self {
        let detail = match errors.as_slice() {
            [fault] => format!("{}: {}", place(&fault.pointer), fault.message),
            faults => format!("{} fields are not valid", faults.len()),
        };
        Self { errors: errors.into(), ..Self::new(Code::ValidationFailed, detail) }
    }

    /// A command with one wrong field.
    pub fn invalid_field(pointer: &str, message: impl Into<String>) -> Self {
        Self::invalid(vec![Fault { pointer: pointer.to_owned(), message: message.into() }])
    }

    /// Something that is not there, or not for this caller.
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("there is no such {what}"))
    }

    /// Keeps what really went wrong, for the log.
    #[must_use]
    pub fn because(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.code.status()
    }

    /// True when repeating the very same command later may succeed.
    pub fn is_temporary(&self) -> bool {
        self.code.is_temporary()
    }

    /// When to try again, in seconds; nothing for what trying again does not help.
    pub fn retry_after_s(&self) -> Option<u64> {
        self.is_temporary().then(|| self.retry_after.unwrap_or(1))
    }

    /// The document as it is sent.
    pub fn document(&self, correlation_id: Uuid) -> ProblemDocument<'_> {
        ProblemDocument {
            r#type: format!("/errors/{}", self.code.as_str()),
            title: self.code.title(),
            status: self.status().as_u16(),
            detail: &self.detail,
            code: self.code.as_str(),
            errors: &self.errors,
            correlation_id,
            retry_after: self.retry_after_s(),
            current_epoch: self.current_epoch,
            current_version: self.current_version,
            position: self.position,
            lag_events: self.lag_events,
        }
    }

    /// Writes what really went wrong to the log, with everything that caused it.
    pub fn log(&self, correlation_id: Uuid) {
        let Some(source) = &self.source else { return };
        let mut chain = source.to_string();
        let mut cause = source.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !chain.contains(&text) {
                chain.push_str(": ");
                chain.push_str(&text);
            }
            cause = error.source();
        }
        tracing::error!(correlation.id = %correlation_id, code = self.code.as_str(), error = chain, "failed to answer a request");
    }
}

fn place(pointer: &str) -> &str {
    if pointer.is_empty() { "the body" } else { pointer }
}

/// A problem as it is sent.
#[derive(Debug, Serialize)]
pub struct ProblemDocument<'a> {
    /// Where the kind is explained; served by this api.
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [Fault],
    correlation_id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_epoch: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<Position>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_events: Option<u64>,
}

impl ProblemDocument<'_> {
    /// The document as JSON.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a problem document is plain data")
    }
}

impl IntoResponse for Problem {
    /// Leaves the document to the conventions, which knows the correlation id.
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        if let Some(seconds) = self.retry_after_s() {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(self);
        response
    }
}
