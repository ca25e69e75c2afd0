//! Error responses (RFC 9457).
//!
//! Every rejection and failure becomes one [`Problem`] with a stable [`Code`]. Internal text is never returned: the cause
//! of a failure is logged once, under the correlation id in the response.

mod code;
mod decision;
mod machinery;

use std::error::Error;
use std::sync::Arc;

use capstan_contract::causes::explain;
use capstan_domain::{Fault, Faults};
use capstan_envelope::Position;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

pub use code::Code;

/// The media type of a problem document.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Most faults named in one answer.
pub(crate) const FAULTS_MAX: usize = 50;
/// Longest pointer and longest message of a fault, in bytes: both may repeat what the caller sent.
const FAULT_BYTES_MAX: usize = 500;
/// Longest word that is left out whole where a text is cut, in bytes.
const WORD_BYTES_MAX: usize = 64;

/// A rejection or a failure, as the caller sees it.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The kind of problem.
    pub code: Code,
    /// The particular problem, for people.
    pub detail: Box<str>,
    /// The faults of the request, each with its pointer.
    pub errors: Box<[Fault]>,
    /// The task's current lease epoch, when the lease is lost.
    pub current_epoch: Option<u64>,
    /// The entity's version, when another one was expected.
    pub current_version: Option<u64>,
    /// The position of the read models, when a wait timed out.
    pub position: Option<Position>,
    /// Log positions the read models are behind the one requested.
    pub lag_events: Option<u64>,
    /// Seconds to wait before a retry, when known.
    pub retry_after: Option<u64>,
    /// The cause; logged, never shown.
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

    /// A request with invalid fields.
    pub fn invalid(errors: Vec<Fault>) -> Self {
        Self::invalid_first(errors.len(), errors)
    }

    /// A request with this number of invalid fields, of which the first are given and the first 50 are named.
    pub(crate) fn invalid_first(number: usize, mut errors: Vec<Fault>) -> Self {
        errors.truncate(FAULTS_MAX);
        for fault in &mut errors {
            cut(&mut fault.pointer);
            cut(&mut fault.message);
        }
        let detail = match errors.as_slice() {
            [fault] => format!("{}: {}", place(&fault.pointer), fault.message),
            named if named.len() < number => {
                format!("{number} fields are invalid; the first {} are named", named.len())
            }
            _ => format!("{number} fields are invalid"),
        };
        Self { errors: errors.into(), ..Self::new(Code::ValidationFailed, detail) }
    }

    /// A request with one invalid field.
    pub fn invalid_field(pointer: &str, message: impl Into<String>) -> Self {
        Self::invalid(vec![Fault { pointer: pointer.to_owned(), message: message.into() }])
    }

    /// Refuses a request that has faults.
    pub(crate) fn refuse(faults: Faults) -> Result<(), Self> {
        faults.into_result().map_err(Self::invalid)
    }

    /// This problem of what a request names, with the faults of the request itself: those are told first.
    #[must_use]
    pub(crate) fn after(self, checked: Result<(), Self>) -> Self {
        let Err(of_body) = checked else { return self };
        if [self.code, of_body.code] != [Code::ValidationFailed; 2] {
            return of_body;
        }
        Self::invalid(self.errors.into_iter().chain(of_body.errors).collect())
    }

    /// Something that does not exist, or not for this caller.
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("there is no such {what}"))
    }

    /// A body longer than allowed.
    pub(crate) fn too_large(bytes_max: usize) -> Self {
        Self::new(Code::PayloadTooLarge, format!("the body exceeds {bytes_max} bytes"))
    }

    /// Keeps the cause for the log.
    #[must_use]
    pub fn because(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.code.status()
    }

    /// True when the same request may succeed later.
    pub fn is_temporary(&self) -> bool {
        self.code.is_temporary()
    }

    /// Seconds to wait before a retry; none when a retry does not help.
    pub fn retry_after_s(&self) -> Option<u64> {
        self.is_temporary().then(|| self.retry_after.unwrap_or(1))
    }

    /// The document as it is sent.
    pub fn document(&self, correlation_id: Uuid) -> ProblemDocument<'_> {
        ProblemDocument {
            r#type: format!("/errors/{}", self.code.as_str()),
            title: self.code.title(),
            status: self.status(),
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

    /// Logs the cause with its own causes.
    pub fn log(&self, correlation_id: Uuid) {
        let Some(source) = &self.source else { return };
        let chain = explain(source.as_ref());
        tracing::error!(correlation.id = %correlation_id, code = self.code.as_str(), error = chain, "failed to answer a request");
    }
}

/// Cuts a text that is too long to be sent back.
fn cut(text: &mut String) {
    if text.len() > FAULT_BYTES_MAX {
        let end = text.floor_char_boundary(FAULT_BYTES_MAX);
        // A long word, such as a pointer, is cut where it must be; otherwise no word is.
        let end = text[..end].rfind(' ').filter(|blank| end - blank < WORD_BYTES_MAX).unwrap_or(end);
        text.truncate(end);
        text.push('…');
    }
}

fn place(pointer: &str) -> &str {
    if pointer.is_empty() { "the body" } else { pointer }
}

/// A problem as it is sent.
#[serde_with::skip_serializing_none]
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub struct ProblemDocument<'a> {
    /// The page that explains the code; served by this api.
    r#type: String,
    /// Title of the code.
    title: &'static str,
    /// HTTP status.
    #[schemars(range(min = 400, max = 599))]
    status: u16,
    /// The particular problem, for people.
    detail: &'a str,
    /// The kind of problem; stable.
    #[schemars(with = "Code")]
    code: &'static str,
    /// Faults of the request.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [Fault],
    /// Id of the request in logs.
    correlation_id: Uuid,
    /// Seconds to wait before a retry.
    retry_after: Option<u64>,
    /// The task's current lease epoch, when the lease is lost.
    current_epoch: Option<u64>,
    /// The entity's version, when another one was expected.
    current_version: Option<u64>,
    /// The position of the read models, when a wait timed out.
    position: Option<Position>,
    /// Log positions the read models are behind the one requested.
    lag_events: Option<u64>,
}

impl ProblemDocument<'_> {
    /// The document as JSON.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a problem document is plain data")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_between_words_and_a_long_word_where_it_must_be() {
        let words = Problem::invalid_field("/a", "accept-agent-command ".repeat(100));
        let message = &words.errors[0].message;
        assert!(message.len() <= FAULT_BYTES_MAX + '…'.len_utf8(), "{message}");
        assert!(message.ends_with(" accept-agent-command…"), "{message}");
        let word = Problem::invalid_field("/a", format!("is {}", "ä".repeat(1000)));
        assert!(word.errors[0].message.len() > FAULT_BYTES_MAX - 4, "{}", word.errors[0].message);
    }
}
