//! The agents of a workspace.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use capstan_contract::command::CreateAgent;
use capstan_domain::id::AgentId;

use crate::App;
use crate::body;
use crate::call::CallContext;
use crate::commands::Execute;
use crate::parameters::Parameters;
use crate::problem::Problem;
use crate::receipt::Reply;
use crate::shown::{List, Object, page};

pub(super) async fn create(
    State(app): State<Arc<App>>,
    Path(workspace): Path<String>,
    parameters: Parameters,
    call: CallContext,
    request: Request,
) -> Result<Reply, Problem> {
    parameters.finish()?;
    let (head, body) = request.into_parts();
    let json = body::read(&head.headers, body, app.config.command_bytes_max).await?;
    let workspace = app.workspace(&workspace).await?;
    body::parse::<CreateAgent>(&json)?.execute(&app, &workspace, &call).await
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    Path(workspace): Path<String>,
    mut parameters: Parameters,
) -> Result<List, Problem> {
    let page = page(&mut parameters);
    parameters.finish()?;
    let workspace = app.workspace(&workspace).await?;
    app.reads.agents(&workspace, &page).await
}

/// By id, else by exactly this key.
pub(super) async fn one(
    State(app): State<Arc<App>>,
    Path((workspace, named)): Path<(String, String)>,
    parameters: Parameters,
) -> Result<Object, Problem> {
    parameters.finish()?;
    let workspace = app.workspace(&workspace).await?;
    let by_key = AgentId::of_key(workspace.as_str(), named.trim());
    let found = match named.parse() {
        Ok(id) => app.reads.agent(&workspace, id).await?,
        Err(_) => None,
    };
    let found = match found {
        Some(agent) => Some(agent),
        None => app.reads.agent(&workspace, by_key).await?,
    };
    found.ok_or_else(|| Problem::not_found("agent"))
}
