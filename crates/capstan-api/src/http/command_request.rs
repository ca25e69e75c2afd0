//! A command over HTTP: its context, its query parameters and its body, not parsed yet.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use chrono::Utc;
use serde::de::DeserializeOwned;

use super::body;
use super::conventions::Correlation;
use super::parameters::{Parameters, path_id};
use crate::App;
use crate::auth::caller::Caller;
use crate::call::{CallContext, fresh_id};
use crate::problem::{Code, Problem};
use crate::use_case;

/// A command over HTTP, not parsed yet.
#[derive(Debug)]
pub(crate) struct CommandRequest {
    /// The context of the command.
    pub(crate) call: CallContext,
    /// Query parameters; unknown ones are refused before the body is parsed.
    pub(crate) parameters: Parameters,
    /// The parts of the path, by the names in the route table.
    parts: BTreeMap<String, String>,
    json: Bytes,
}

impl FromRequest<Arc<App>> for CommandRequest {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let (mut head, body) = request.into_parts();
        let Path(parts) = Path::from_request_parts(&mut head, app)
            .await
            .map_err(|_| Problem::new(Code::MalformedRequest, "the path is malformed"))?;
        let parameters = Parameters::from_request_parts(&mut head, app).await?;
        let call = CallContext::from_request_parts(&mut head, app).await?;
        let json = body::read(&head.headers, body, app.config.command_bytes_max).await?;
        Ok(Self { call, parameters, parts, json })
    }
}

impl CommandRequest {
    /// Refuses unknown parameters, before anything is looked up.
    pub(crate) fn no_more_parameters(&mut self) -> Result<(), Problem> {
        std::mem::take(&mut self.parameters).finish()
    }

    /// A part of the path as text.
    pub(crate) fn part(&self, name: &str) -> &str {
        self.parts.get(name).map_or("", String::as_str)
    }

    /// An id of the path.
    pub(crate) fn path_id<T: FromStr>(&self, name: &str) -> Result<T, Problem> {
        path_id(self.part(name), name)
    }

    /// Parses the body.
    pub(crate) fn body<T: DeserializeOwned>(&mut self) -> Result<T, Problem> {
        self.no_more_parameters()?;
        use_case::body::parse(&self.json)
    }

    /// Parses a body that may be empty.
    pub(crate) fn body_if_any<T: DeserializeOwned>(&mut self) -> Result<T, Problem> {
        self.no_more_parameters()?;
        use_case::body::parse_optional(&self.json)
    }
}

impl<S: Sync> FromRequestParts<S> for CallContext {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let correlation = parts.extensions.get::<Correlation>();
        let correlation_id = correlation.map_or_else(|| fresh_id(Utc::now()), |one| one.0);
        let call = Self::from_headers(&parts.headers, correlation_id)?;
        match parts.extensions.get::<Caller>() {
            Some(caller) => Ok(Self { actor: caller.actor(), ..call }),
            None => Ok(call),
        }
    }
}
