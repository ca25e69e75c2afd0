//! The fields of a request outside its body: parts of the path, parameters of the query string, and headers.

use std::collections::BTreeMap;

use axum::extract::{FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use capstan_contract::beside::Beside;
use capstan_contract::command::Unconditional;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::body;
use crate::App;
use crate::problem::{Code, Problem};
use crate::request::{self, Outer, Source};

/// Headers that stand for the field `min_position`, in their order of precedence.
pub(crate) const MIN_POSITION: [&str; 2] = ["Capstan-Min-Position", "Capstan-Position"];

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
        let Query(query) = Query::<Vec<(String, String)>>::try_from_uri(&head.uri)
            .map_err(|_| Problem::new(Code::MalformedRequest, "the query string cannot be read"))?;
        let workspace = path.remove("workspace");
        let path = path.into_iter().map(|(name, text)| outer(name, text, Source::Path));
        // Other requests have a body for their fields; an address is logged on its way.
        let takes_parameters = [Method::GET, Method::HEAD, Method::DELETE].contains(&head.method);
        let query = query.into_iter().filter(|(_, text)| !takes_parameters || !text.trim().is_empty());
        let query = query.map(|(name, text)| {
            if takes_parameters {
                outer(name, text, Source::Query)
            } else {
                outer(format!("?{name}"), text, Source::Misplaced)
            }
        });
        Ok(Self { workspace, outer: path.chain(query).collect() })
    }
}

fn outer(name: String, text: String, source: Source) -> Outer<'static> {
    Outer { name: name.into(), text: text.into(), source }
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

    /// Lets headers stand for the position a request waits for, when it can wait and its query string names none.
    #[must_use]
    pub(crate) fn with_min_position<B: Beside>(mut self, headers: &HeaderMap) -> Self {
        const FIELD: &str = "min_position";
        let is_named = self.outer.iter().any(|outer| outer.name == FIELD);
        if B::NAMES.contains(&FIELD)
            && !is_named
            && let Some(header) = MIN_POSITION.into_iter().find(|name| headers.contains_key(*name))
        {
            self.set(FIELD, header, headers);
        }
        self
    }

    /// Lets a header stand for a field, in place of a parameter. True when the header is present.
    pub(crate) fn set(&mut self, field: &'static str, header: &'static str, headers: &HeaderMap) -> bool {
        // A text that cannot be read is no value of any field.
        let texts = headers.get_all(header).iter().map(|value| value.to_str().unwrap_or("?").trim());
        let texts: Vec<_> = texts.filter(|text| !text.is_empty()).map(str::to_owned).collect();
        if texts.is_empty() {
            return false;
        }
        self.outer.retain(|outer| outer.name != field);
        // A header given twice becomes a field given twice.
        self.outer
            .extend(texts.into_iter().map(|text| outer(field.to_owned(), text, Source::Header(header))));
        true
    }

    /// Reads a request whose body is empty, or an object with some of its fields.
    pub(crate) async fn read<T>(&self, app: &App, request: Request) -> Result<T, Problem>
    where
        T: DeserializeOwned + JsonSchema + 'static,
    {
        let (head, body) = request.into_parts();
        let json = body::read(&head.headers, body, app.config.command_bytes_max).await?;
        let (request, Unconditional {}) = request::read(&self.outer, &json)?;
        Ok(request)
    }
}
