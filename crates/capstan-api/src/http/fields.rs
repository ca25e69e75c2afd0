//! The fields of a request outside its body: parts of the path, parameters of the query string, and headers.

use std::collections::BTreeMap;

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::Uri;
use axum::http::request::Parts;
use capstan_domain::Fault;
use chrono::DateTime;
use percent_encoding::percent_decode_str;

use crate::header_fields;
use crate::problem::{Code, Problem};
use crate::request::{Outer, Source};

/// The fields of a request outside its body. A blank parameter counts as absent.
#[derive(Debug)]
pub(crate) struct Fields {
    workspace: Option<String>,
    outer: Vec<Outer<'static>>,
}

impl<S: Send + Sync> FromRequestParts<S> for Fields {
    type Rejection = Problem;

    async fn from_request_parts(head: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(mut path): Path<BTreeMap<String, String>> = Path::from_request_parts(head, state)
            .await
            .map_err(|_| Problem::new(Code::MalformedRequest, "the path is malformed"))?;
        let query = parameters(&head.uri)?;
        let workspace = path.remove("workspace");
        let path = path.into_iter().map(|(name, text)| Outer::new(name, text, Source::Path));
        // The pairs are those of all parts that are not empty, in order.
        let parts = head.uri.query().unwrap_or_default().split('&').filter(|part| !part.is_empty());
        let query = query.into_iter().zip(parts).map(|((name, text), part)| {
            if part.contains('=') {
                Outer::new(name, with_plus(text), Source::Query)
            } else {
                Outer::unreadable(name, Source::Query, "has no value: write name=value")
            }
        });
        let headers = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        Ok(Self { workspace, outer: path.chain(query).chain(header_fields::of(headers)).collect() })
    }
}

/// The parameters of an address.
fn parameters(uri: &Uri) -> Result<Vec<(String, String)>, Problem> {
    if uri.query().is_none_or(str::is_empty) {
        return Ok(Vec::new());
    }
    if percent_decode_str(uri.query().unwrap_or_default()).decode_utf8().is_err() {
        return Err(Problem::new(Code::MalformedRequest, "the query string is not UTF-8"));
    }
    let Query(parameters) = Query::try_from_uri(uri)
        .map_err(|_| Problem::new(Code::MalformedRequest, "the query string cannot be read"))?;
    Ok(parameters)
}

/// Refuses a request with parameters, for routes whose fields stand in the body: an address is logged on its way.
pub(crate) fn must_have_no_parameters(address: &Uri) -> Result<(), Problem> {
    let parameters = parameters(address)?;
    if parameters.is_empty() {
        return Ok(());
    }
    let told = "this request takes no parameters; its fields stand in the body";
    let fault = |(name, _)| Fault { pointer: format!("?{name}"), message: told.to_owned() };
    Err(Problem::invalid(parameters.into_iter().map(fault).collect()))
}

/// The text of a parameter; before the offset of an instant a blank is a plus sign that was not percent-encoded.
fn with_plus(text: String) -> String {
    let instant = text.rsplit_once(' ').map(|(time, offset)| format!("{time}+{offset}"));
    instant.filter(|instant| DateTime::parse_from_rfc3339(instant).is_ok()).unwrap_or(text)
}

impl Fields {
    /// The name of the workspace in the path, if the path has one.
    pub(crate) fn workspace(&self) -> Option<&str> {
        self.workspace.as_deref()
    }

    /// The other fields.
    pub(crate) fn outer(&self) -> &[Outer<'static>] {
        &self.outer
    }
}
