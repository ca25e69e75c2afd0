//! How objects and lists are shown.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use capstan_envelope::Position;
use capstan_projections::Page;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::http::conventions::{POSITION, header_text};
use crate::http::parameters::Parameters;

/// Objects on a page when the caller does not say; the read models have the same.
const LIMIT_DEFAULT: u32 = 50;
/// Most objects on a page; a larger wish is answered with this many, and the answer says so.
pub(crate) const LIMIT_MAX: u32 = 500;

/// One object, ready as JSON.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) json: Box<RawValue>,
    pub(crate) version: u64,
    pub(crate) position: Position,
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

/// Something read at a position.
#[derive(Debug)]
pub(crate) struct Positioned<T>(pub(crate) T, pub(crate) Position);

impl<T: Serialize> IntoResponse for Positioned<T> {
    fn into_response(self) -> Response {
        ([(POSITION, header_text(&self.1))], axum::Json(self.0)).into_response()
    }
}

/// One page of a list.
#[derive(Debug, Serialize)]
pub(crate) struct List<T = Box<RawValue>> {
    pub(crate) items: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_cursor: Option<String>,
    pub(crate) position: Position,
    pub(crate) limit: u32,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(crate) total: Option<ListTotal>,
}

/// How many objects are on all pages together, for who asked.
#[derive(Debug, Serialize)]
pub(crate) struct ListTotal {
    /// So many.
    total: u64,
    /// True when there are more, which were not counted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    total_is_more: bool,
}

impl From<capstan_projections::Total> for ListTotal {
    fn from(total: capstan_projections::Total) -> Self {
        Self { total: total.count, total_is_more: total.is_more }
    }
}

impl<T: Serialize> IntoResponse for List<T> {
    fn into_response(self) -> Response {
        let position = [(POSITION, header_text(&self.position))];
        (position, axum::Json(self)).into_response()
    }
}

/// Takes the wished page.
pub(crate) fn page(parameters: &mut Parameters) -> Page {
    Page {
        limit: Some(limit(parameters)),
        cursor: parameters.text("cursor"),
        count: parameters.flag("count").unwrap_or(false),
    }
}

/// Takes the wished length of a page, clamped.
pub(crate) fn limit(parameters: &mut Parameters) -> u32 {
    let wish = parameters.value::<u32>("limit", "a number").unwrap_or(LIMIT_DEFAULT);
    wish.clamp(1, LIMIT_MAX)
}
