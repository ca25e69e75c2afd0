//! Opens a workspace.

use axum::http::StatusCode;
use capstan_contract::command::{CommandBody, CreateWorkspace};
use capstan_domain::workspace::{Command, Create};
use capstan_envelope::Workspace;

use super::resolve;
use crate::App;
use crate::call::CallContext;
use crate::problem::Problem;
use crate::receipt::Reply;

pub(crate) async fn execute(app: &App, body: CreateWorkspace, call: &CallContext) -> Result<Reply, Problem> {
    let key = call.key(body.idempotency_key())?;
    let workspace = Workspace::new(&body.workspace)
        .map_err(|_| Problem::invalid_field("/workspace", "1 to 128 of A-Z a-z 0-9 _ - are allowed"))?;
    let stream = resolve::stream(&workspace, "workspace", workspace.as_str())?;
    let context = call.command(&stream, key.as_ref(), &body);
    let display_name = body.display_name.as_deref().map(str::trim).filter(|name| !name.is_empty());
    let command = Command::Create(Create {
        workspace: workspace.to_string(),
        display_name: display_name.unwrap_or(workspace.as_str()).to_owned(),
        at: call.received_at,
    });
    let decided = app.dispatch.workspaces.execute(&stream, &command, &context).await?;
    let shown = app.shown_workspace(&workspace, decided.position).await;
    Ok(Reply::new(StatusCode::CREATED, &context, &decided).showing_object("workspace", shown))
}
