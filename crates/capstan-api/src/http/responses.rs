//! HTTP responses: the status, headers and body of what the use cases return.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::headers::{POSITION, header_text};
use crate::answered::Answered;
use crate::prefer::{APPLIED, MINIMAL};
use crate::problem::Problem;
use crate::receipt::Reply;

/// The status of a number that is one by construction.
pub(super) fn status(number: u16) -> StatusCode {
    StatusCode::from_u16(number).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

impl IntoResponse for Answered {
    fn into_response(self) -> Response {
        let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        let mut response = (status(self.status), kind, self.json).into_response();
        let headers = response.headers_mut();
        if let Some(position) = self.position {
            headers.insert(POSITION, header_text(&position));
        }
        if let Some(version) = self.version {
            headers.insert(header::ETAG, header_text(&format!("\"{version}\"")));
        }
        if self.is_minimal {
            headers.insert(APPLIED, HeaderValue::from_static(MINIMAL));
        }
        if self.is_secret {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        response
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        Answered::from(self).into_response()
    }
}

impl IntoResponse for Problem {
    /// Leaves the document to the conventions, which know the correlation id.
    fn into_response(self) -> Response {
        let mut response = status(self.status()).into_response();
        if let Some(seconds) = self.retry_after_s() {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(self);
        response
    }
}
