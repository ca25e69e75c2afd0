//! The tokens of a workspace.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use capstan_contract::command::{IssueToken, RevokeToken};

use crate::App;
use crate::body;
use crate::call::CallContext;
use crate::commands::Execute;
use crate::parameters::{Parameters, path_id};
use crate::problem::Problem;
use crate::receipt::Reply;
use crate::shown::{List, page};

pub(super) async fn issue(
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
    body::parse::<IssueToken>(&json)?.execute(&app, &workspace, &call).await
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    Path(workspace): Path<String>,
    mut parameters: Parameters,
) -> Result<List, Problem> {
    let page = page(&mut parameters);
    let revoked = parameters.flag("revoked");
    parameters.finish()?;
    let workspace = app.workspace(&workspace).await?;
    app.reads.tokens(&workspace, revoked, &page).await
}

pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    Path((workspace, token)): Path<(String, String)>,
    parameters: Parameters,
    call: CallContext,
    request: Request,
) -> Result<Reply, Problem> {
    parameters.finish()?;
    let (head, body) = request.into_parts();
    let json = body::read(&head.headers, body, app.config.command_bytes_max).await?;
    let (workspace, token_id) = (app.workspace(&workspace).await?, path_id(&token, "token")?);
    let mut body: RevokeToken = body::parse_optional(&json)?;
    body.token_id = body::of_path(body.token_id, token_id, "/token_id")?;
    body.execute(&app, &workspace, &call).await
}
