//! `/errors/{code}`: what a problem's `type` points at.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderName, header};
use axum::routing::get;

use crate::App;
use crate::problem::{Code, Problem};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/errors/{code}", get(page))
}

async fn page(Path(code): Path<String>) -> Result<([(HeaderName, &'static str); 1], &'static str), Problem> {
    let code = Code::of(&code).ok_or_else(|| Problem::not_found("code"))?;
    Ok(([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], code.page()))
}
