//! The fields of a request outside its body: parts of the path, parameters of the query string, and headers.

use std::collections::BTreeMap;

use axum::extract::{FromRequestParts, Path, Query, Request};
use axum::http::Method;
use axum::http::request::Parts;
use capstan_contract::command::Unconditional;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::body;
use crate::App;
use crate::header_fields;
use crate::problem::{Code, Problem};
use crate::request::{self, Outer, Source};

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
        let headers = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        Ok(Self { workspace, outer: path.chain(query).chain(header_fields::of(headers)).collect() })
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
