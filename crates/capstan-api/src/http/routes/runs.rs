//! The runs of a workspace's tasks.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use capstan_projections::RunFilter;

use crate::App;
use crate::http::parameters::{Parameters, path_id};
use crate::problem::Problem;
use crate::use_case::as_of::{self, AsOf};
use crate::use_case::interaction::{self, Interaction};
use crate::use_case::logs::{self, LogEntry};
use crate::use_case::read::{List, Object};
use crate::use_case::resolve;
use crate::use_case::run_snapshots::{self, RunSnapshot};

pub(super) async fn list(
    State(app): State<Arc<App>>,
    Path(workspace): Path<String>,
    mut parameters: Parameters,
) -> Result<List, Problem> {
    let page = parameters.page();
    let agent = parameters.text("agent_id");
    let mut filter = RunFilter {
        agent_id: None,
        statuses: parameters.choices("status", "run states"),
        task_id: parameters.value("task_id", "a task id"),
        session_id: parameters.text("session_id"),
        created: parameters.span("created"),
        updated: parameters.span("updated"),
    };
    parameters.finish()?;
    let workspace = resolve::workspace(&app, &workspace).await?;
    filter.agent_id = resolve::agent_filter(&app, &workspace, agent).await?;
    app.reads.runs(&workspace, &filter, &page).await
}

pub(super) async fn one(
    State(app): State<Arc<App>>,
    Path((workspace, run)): Path<(String, String)>,
    mut parameters: Parameters,
) -> Result<Object, Problem> {
    let as_of = parameters.value::<AsOf>("as_of", "a position or an instant, as in 2026-01-02T03:04:05Z");
    parameters.finish()?;
    let (workspace, run) = (resolve::workspace(&app, &workspace).await?, path_id(&run, "run")?);
    if let Some(as_of) = as_of {
        return as_of::run(&app, &workspace, run, as_of).await;
    }
    app.reads.run(&workspace, run).await?.ok_or_else(|| Problem::not_found("run"))
}

pub(super) async fn snapshots(
    State(app): State<Arc<App>>,
    Path((workspace, run)): Path<(String, String)>,
    mut parameters: Parameters,
) -> Result<List<RunSnapshot>, Problem> {
    let limit = parameters.limit();
    let after = parameters.value("cursor", "a cursor as answered").unwrap_or_default();
    parameters.finish()?;
    let (workspace, run) = (resolve::workspace(&app, &workspace).await?, path_id(&run, "run")?);
    run_snapshots::of_run(&app, &workspace, run, after, limit).await
}

pub(super) async fn events(
    State(app): State<Arc<App>>,
    Path((workspace, run)): Path<(String, String)>,
    mut parameters: Parameters,
) -> Result<List<LogEntry>, Problem> {
    let limit = parameters.limit();
    let after = parameters.value("cursor", "a cursor as answered").unwrap_or_default();
    parameters.finish()?;
    let (workspace, run) = (resolve::workspace(&app, &workspace).await?, path_id(&run, "run")?);
    logs::events_of_run(&app, &workspace, run, after, limit).await
}

pub(super) async fn interaction(
    State(app): State<Arc<App>>,
    Path((workspace, run)): Path<(String, String)>,
    parameters: Parameters,
) -> Result<Json<Interaction>, Problem> {
    parameters.finish()?;
    let (workspace, run) = (resolve::workspace(&app, &workspace).await?, path_id(&run, "run")?);
    Ok(Json(interaction::of_run(&app, &workspace, run).await?))
}
