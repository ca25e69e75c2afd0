//! The headers of the api.

use axum::http::{HeaderName, HeaderValue};

/// Header with the log position of a response, or the one a request waits for.
pub const POSITION: HeaderName = HeaderName::from_static("capstan-position");
/// Header with the id of a request in logs and problem documents.
pub const CORRELATION: HeaderName = HeaderName::from_static("capstan-correlation-id");

/// A header value from a value whose text is ASCII.
pub(crate) fn header_text(value: &impl ToString) -> HeaderValue {
    HeaderValue::from_str(&value.to_string()).expect("numbers and ids are plain ASCII")
}
