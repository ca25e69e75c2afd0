//! The execution classes of a workspace.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::routing::{get, put};
use capstan_contract::command::ConfigureClass;

use crate::App;
use crate::body;
use crate::call::CallContext;
use crate::commands::Execute;
use crate::parameters::Parameters;
use crate::problem::Problem;
use crate::receipt::Reply;
use crate::shown::{List, Object, page};

const CLASS: &str = "/v1/workspaces/{workspace}/classes/{instance_key}";

pub(super) fn reads() -> Router<Arc<App>> {
    Router::new().route("/v1/workspaces/{workspace}/classes", get(list)).route(CLASS, get(one))
}

pub(super) fn commands() -> Router<Arc<App>> {
    Router::new().route(CLASS, put(configure))
}

async fn configure(
    State(app): State<Arc<App>>,
    Path((workspace, instance_key)): Path<(String, String)>,
    parameters: Parameters,
    call: CallContext,
    request: Request,
) -> Result<Reply, Problem> {
    parameters.finish()?;
    let (head, body) = request.into_parts();
    let json = body::read(&head.headers, body, app.config.command_bytes_max).await?;
    let workspace = app.workspace(&workspace).await?;
    let body: ConfigureClass = body::parse_optional(&json)?;
    if !body.instance_key.is_empty() && body.instance_key != instance_key {
        return Err(Problem::invalid_field("/instance_key", "the path and the body name different classes"));
    }
    ConfigureClass { instance_key, ..body }.execute(&app, &workspace, &call).await
}

async fn list(
    State(app): State<Arc<App>>,
    Path(workspace): Path<String>,
    mut parameters: Parameters,
) -> Result<List, Problem> {
    let page = page(&mut parameters);
    parameters.finish()?;
    let workspace = app.workspace(&workspace).await?;
    app.reads.classes(&workspace, &page).await
}

async fn one(
    State(app): State<Arc<App>>,
    Path((workspace, instance_key)): Path<(String, String)>,
    parameters: Parameters,
) -> Result<Object, Problem> {
    parameters.finish()?;
    let workspace = app.workspace(&workspace).await?;
    let found = app.reads.class(&workspace, &instance_key).await?;
    found.ok_or_else(|| Problem::not_found("class"))
}
