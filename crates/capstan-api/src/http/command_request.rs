//! A command over HTTP: its context, its query parameters and its body, not parsed yet.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use capstan_envelope::Actor;
use chrono::Utc;

use super::body;
use super::conventions::Correlation;
use super::fields::Fields;
use crate::App;
use crate::auth::caller::Caller;
use crate::call::CallContext;
use crate::prefer::PREFER;
use crate::problem::Problem;
use crate::receipt::Reply;
use crate::request;
use crate::use_case::execute::Execute;
use crate::use_case::resolve;

/// A command over HTTP, not read yet.
#[derive(Debug)]
pub(crate) struct CommandRequest {
    call: CallContext,
    fields: Fields,
    json: Bytes,
}

impl FromRequest<Arc<App>> for CommandRequest {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let (mut head, body) = request.into_parts();
        let fields = Fields::from_request_parts(&mut head, app).await?;
        let call = CallContext::from_request_parts(&mut head, app).await?;
        let json = body::read(&head.headers, body, app.config.command_bytes_max).await?;
        Ok(Self { call, fields, json })
    }
}

impl CommandRequest {
    /// Reads and executes the command.
    pub(crate) async fn execute<C: Execute>(self, app: &App) -> Result<Reply, Problem> {
        let workspace = match self.fields.workspace() {
            Some(name) => Some(resolve::workspace(app, name).await?),
            None => None,
        };
        let (command, conditions) = request::read::<C, C::Beside>(self.fields.outer(), &self.json)?;
        let workspace = match workspace {
            Some(workspace) => workspace,
            None => resolve::new_workspace(C::NEW_WORKSPACE.map_or("", |name| name(&command)))?,
        };
        let reply = command.execute(app, &workspace, &self.call.under(conditions.into())).await?;
        Ok(Reply { is_minimal: self.call.is_minimal, ..reply })
    }
}

impl<S: Sync> FromRequestParts<S> for CallContext {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let actor = match parts.extensions.get::<Caller>() {
            Some(caller) => caller.actor(),
            None => Actor::Client { name: "anonymous".into() },
        };
        let trace = parts.headers.get("traceparent").and_then(|value| value.to_str().ok());
        let preferences = parts.headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
        let call = Self::new(actor, Utc::now()).traced(trace).preferring(preferences);
        Ok(match parts.extensions.get::<Correlation>() {
            Some(Correlation { id, is_given: true }) => call.correlated(Some(*id)),
            Some(Correlation { id, is_given: false }) => Self { correlation_id: *id, ..call },
            None => call,
        })
    }
}
