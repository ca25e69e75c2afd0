//! A command over HTTP: its context, its query parameters and its body, not parsed yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};

use axum::http::request::Parts;
use capstan_contract::command::Conditions;
use chrono::Utc;

use super::body;
use super::conventions::Correlation;
use crate::App;
use crate::auth::caller::Caller;
use crate::call::{CallContext, fresh_id};
use crate::problem::{Code, Problem};
use crate::receipt::Reply;
use crate::request::{self, Outer, Source};
use crate::use_case::execute::Execute;
use crate::use_case::resolve;

/// A command over HTTP, not read yet.
#[derive(Debug)]
pub(crate) struct CommandRequest {
    call: CallContext,
    /// The name of the workspace in the path, if the path has one.
    workspace: Option<String>,
    /// The other parts of the path and the parameters of the query string, by the names of the command's fields.
    outer: Vec<Outer<'static>>,
    json: Bytes,
}

impl FromRequest<Arc<App>> for CommandRequest {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let (mut head, body) = request.into_parts();
        let mut outer = outer(&mut head).await?;
        let call = CallContext::from_request_parts(&mut head, app).await?;
        let json = body::read(&head.headers, body, app.config.command_bytes_max).await?;
        let is_workspace = |outer: &Outer<'_>| outer.source == Source::Path && outer.name == "workspace";
        let place = outer.iter().position(is_workspace);
        let workspace = place.map(|place| outer.swap_remove(place).text.into_owned());
        Ok(Self { call, workspace, outer, json })
    }
}

/// The parts of the path and the parameters of the query string; empty parameters count as absent.
pub(super) async fn outer(head: &mut Parts) -> Result<Vec<Outer<'static>>, Problem> {
    let Path(parts): Path<BTreeMap<String, String>> = Path::from_request_parts(head, &())
        .await
        .map_err(|_| Problem::new(Code::MalformedRequest, "the path is malformed"))?;
    let Query(query) = Query::<Vec<(String, String)>>::try_from_uri(&head.uri)
        .map_err(|_| Problem::new(Code::MalformedRequest, "the query string cannot be read"))?;
    let path = parts.into_iter().map(|part| (part, Source::Path));
    let query = query.into_iter().filter(|(_, text)| !text.is_empty()).map(|pair| (pair, Source::Query));
    let outer = path.chain(query).map(|((name, text), source)| Outer {
        name: name.into(),
        text: text.into(),
        source,
    });
    Ok(outer.collect())
}

impl CommandRequest {
    /// Reads and executes the command.
    pub(crate) async fn execute<C: Execute>(self, app: &App) -> Result<Reply, Problem> {
        let workspace = match &self.workspace {
            Some(name) => Some(resolve::workspace(app, name).await?),
            None => None,
        };
        let (command, conditions) = request::read::<C, Conditions>(&self.outer, &self.json)?;
        let workspace = match workspace {
            Some(workspace) => workspace,
            None => resolve::new_workspace(C::NEW_WORKSPACE.map_or("", |name| name(&command)))?,
        };
        command.execute(app, &workspace, &self.call.with(conditions)?).await
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
