//! HTTP responses: the status, headers and body of what the use cases return.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::headers::{POSITION, header_text};
use crate::problem::Problem;
use crate::receipt::Reply;
use crate::use_case::read::{List, Object, Positioned};

/// The status of a number that is one by construction.
pub(super) fn status(number: u16) -> StatusCode {
    StatusCode::from_u16(number).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let (version, position) = self.shown_at.unwrap_or((self.receipt.version, self.receipt.position));
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (POSITION, header_text(&position.later_of(self.receipt.position))),
            (header::ETAG, header_text(&format!("\"{version}\""))),
        ];
        let mut response = (status(self.success.status()), headers, self.to_json()).into_response();
        if self.secret.is_some() {
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        response
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

impl IntoResponse for Object {
    fn into_response(self) -> Response {
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (header::ETAG, header_text(&format!("\"{}\"", self.version))),
            (POSITION, header_text(&self.position)),
        ];
        (headers, String::from(Box::<str>::from(self.json))).into_response()
    }
}

impl<T: Serialize> IntoResponse for Positioned<T> {
    fn into_response(self) -> Response {
        ([(POSITION, header_text(&self.1))], axum::Json(self.0)).into_response()
    }
}

impl<T: Serialize> IntoResponse for List<T> {
    fn into_response(self) -> Response {
        let position = [(POSITION, header_text(&self.position))];
        (position, axum::Json(self)).into_response()
    }
}
