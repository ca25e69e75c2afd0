//! A command as it comes over HTTP: who asks and under which conditions, and a body of allowed length.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use serde::de::DeserializeOwned;

use crate::App;
use crate::call::CallContext;
use crate::http::body;
use crate::http::parameters::Parameters;
use crate::problem::Problem;

/// One command of a caller, not read yet.
#[derive(Debug)]
pub(crate) struct Asked {
    /// The circumstances.
    pub(crate) call: CallContext,
    /// Query parameters; those that nobody takes are refused when the body is read.
    pub(crate) parameters: Parameters,
    json: Bytes,
}

impl FromRequest<Arc<App>> for Asked {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let (mut head, body) = request.into_parts();
        let parameters = Parameters::from_request_parts(&mut head, app).await?;
        let call = CallContext::from_request_parts(&mut head, app).await?;
        let json = body::read(&head.headers, body, app.config.command_bytes_max).await?;
        Ok(Self { call, parameters, json })
    }
}

impl Asked {
    /// Refuses parameters nobody has taken; what cannot be asked is said before anything is looked up.
    pub(crate) fn no_more_parameters(&mut self) -> Result<(), Problem> {
        std::mem::take(&mut self.parameters).finish()
    }

    /// Reads the body.
    pub(crate) fn body<T: DeserializeOwned>(&mut self) -> Result<T, Problem> {
        self.no_more_parameters()?;
        body::parse(&self.json)
    }

    /// Reads a body that may be left out.
    pub(crate) fn body_if_any<T: DeserializeOwned>(&mut self) -> Result<T, Problem> {
        self.no_more_parameters()?;
        body::parse_optional(&self.json)
    }
}
