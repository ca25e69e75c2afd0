//! `/errors/{code}`: what a problem's `type` points at.

use axum::extract::Path;
use axum::http::{HeaderName, header};

use crate::problem::{Code, Problem};

pub(super) async fn page(
    Path(code): Path<String>,
) -> Result<([(HeaderName, &'static str); 1], &'static str), Problem> {
    let code = Code::from_text(&code).ok_or_else(|| Problem::not_found("code"))?;
    Ok(([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], code.page()))
}
