//! The tasks of a workspace.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use capstan_projections::{OutputFilter, RunFilter, TaskFilter, TaskTree};

use crate::App;
use crate::http::parameters::{Parameters, path_id};
use crate::problem::Problem;
use crate::use_case::as_of::{self, AsOf};
use crate::use_case::history::{self, HistoryEntry};
use crate::use_case::logs::{self, LogEntry};
use crate::use_case::read::{LIMIT_MAX, List, Object, Positioned};
use crate::use_case::resolve;
use crate::use_case::why::{self, Why};

pub(super) async fn list(
    State(app): State<Arc<App>>,
    Path(workspace): Path<String>,
    mut parameters: Parameters,
) -> Result<List, Problem> {
    let page = parameters.page();
    let agent = parameters.text("agent_id");
    let mut filter = TaskFilter {
        agent_id: None,
        states: parameters.choices("state", "task states"),
        priorities: parameters.choices("priority", "priorities"),
        label: parameters.text("label"),
        labels: labels(&mut parameters),
        parent_task_id: parameters.value("parent_task_id", "a task id"),
        source_output_ids: parameters.words("source_output_id"),
        waiting_reasons: parameters.choices("waiting_reason", "reasons to wait"),
        created: parameters.span("created"),
        updated: parameters.span("updated"),
        archived: parameters.archived(),
        text: parameters.text("q"),
    };
    parameters.finish()?;
    let workspace = resolve::workspace(&app, &workspace).await?;
    filter.agent_id = resolve::agent_filter(&app, &workspace, agent).await?;
    app.reads.tasks(&workspace, &filter, &page).await
}

/// `labels=name:value,name:value`: all of them.
fn labels(parameters: &mut Parameters) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for pair in parameters.words("labels") {
        match pair.split_once(':') {
            Some((name, value)) => {
                labels.insert(name.to_owned(), value.to_owned());
            }
            None => parameters.fault("labels", "must be name:value, separated by commas"),
        }
    }
    labels
}

pub(super) async fn one(
    State(app): State<Arc<App>>,
    Path((workspace, task)): Path<(String, String)>,
    mut parameters: Parameters,
) -> Result<Object, Problem> {
    let as_of = parameters.value::<AsOf>("as_of", "a position or an instant, as in 2026-01-02T03:04:05Z");
    parameters.finish()?;
    let (workspace, task) = (resolve::workspace(&app, &workspace).await?, path_id(&task, "task")?);
    if let Some(as_of) = as_of {
        return as_of::task(&app, &workspace, task, as_of).await;
    }
    app.reads.task(&workspace, task).await?.ok_or_else(|| Problem::not_found("task"))
}

pub(super) async fn runs(
    State(app): State<Arc<App>>,
    Path((workspace, task)): Path<(String, String)>,
    mut parameters: Parameters,
) -> Result<List, Problem> {
    let page = parameters.page();
    parameters.finish()?;
    let (workspace, task) = (resolve::workspace(&app, &workspace).await?, path_id(&task, "task")?);
    resolve::existing_task(&app, &workspace, task).await?;
    let filter = RunFilter { task_id: Some(task), ..RunFilter::default() };
    app.reads.runs(&workspace, &filter, &page).await
}

/// Its children, newest first; with `source_output_id`, those made for one of these outputs.
pub(super) async fn subtasks(
    State(app): State<Arc<App>>,
    Path((workspace, task)): Path<(String, String)>,
    mut parameters: Parameters,
) -> Result<List, Problem> {
    let page = parameters.page();
    let source_output_ids = parameters.words("source_output_id");
    parameters.finish()?;
    let (workspace, task) = (resolve::workspace(&app, &workspace).await?, path_id(&task, "task")?);
    resolve::existing_task(&app, &workspace, task).await?;
    let filter = TaskFilter { parent_task_id: Some(task), source_output_ids, ..TaskFilter::default() };
    app.reads.tasks(&workspace, &filter, &page).await
}

pub(super) async fn outputs(
    State(app): State<Arc<App>>,
    Path((workspace, task)): Path<(String, String)>,
    mut parameters: Parameters,
) -> Result<List, Problem> {
    let page = parameters.page();
    parameters.finish()?;
    let (workspace, task) = (resolve::workspace(&app, &workspace).await?, path_id(&task, "task")?);
    resolve::existing_task(&app, &workspace, task).await?;
    let filter = OutputFilter { task_id: Some(task), ..OutputFilter::default() };
    app.reads.outputs(&workspace, &filter, &page).await
}

pub(super) async fn inputs(
    State(app): State<Arc<App>>,
    Path((workspace, task)): Path<(String, String)>,
    mut parameters: Parameters,
) -> Result<List, Problem> {
    let page = parameters.page();
    parameters.finish()?;
    let (workspace, task) = (resolve::workspace(&app, &workspace).await?, path_id(&task, "task")?);
    resolve::existing_task(&app, &workspace, task).await?;
    app.reads.inputs(&workspace, task, &page).await
}

/// Levels below the task that a tree shows when the caller does not say, and at most.
const DEPTH_DEFAULT: u32 = 5;
const DEPTH_MAX: u32 = 50;

pub(super) async fn tree(
    State(app): State<Arc<App>>,
    Path((workspace, task)): Path<(String, String)>,
    mut parameters: Parameters,
) -> Result<Positioned<TaskTree>, Problem> {
    let tasks_max = parameters.value("limit", "a number").unwrap_or(LIMIT_MAX).clamp(1, LIMIT_MAX);
    let depth_max = parameters.value("depth", "a number").unwrap_or(DEPTH_DEFAULT).min(DEPTH_MAX);
    parameters.finish()?;
    let (workspace, task) = (resolve::workspace(&app, &workspace).await?, path_id(&task, "task")?);
    let found = app.reads.models().task_tree(workspace.as_str(), task, depth_max, tasks_max).await?;
    let (tree, position) = found.ok_or_else(|| Problem::not_found("task"))?;
    Ok(Positioned(tree, position))
}

pub(super) async fn history(
    State(app): State<Arc<App>>,
    Path((workspace, task)): Path<(String, String)>,
    mut parameters: Parameters,
) -> Result<List<HistoryEntry>, Problem> {
    let limit = parameters.limit();
    let after = parameters.value("cursor", "a cursor as answered").unwrap_or_default();
    parameters.finish()?;
    let (workspace, task) = (resolve::workspace(&app, &workspace).await?, path_id(&task, "task")?);
    history::of_task(&app, &workspace, task, after, limit).await
}

pub(super) async fn why(
    State(app): State<Arc<App>>,
    Path((workspace, task)): Path<(String, String)>,
    parameters: Parameters,
) -> Result<Json<Why>, Problem> {
    parameters.finish()?;
    let (workspace, task) = (resolve::workspace(&app, &workspace).await?, path_id(&task, "task")?);
    Ok(Json(why::of_task(&app, &workspace, task).await?))
}

pub(super) async fn logs(
    State(app): State<Arc<App>>,
    Path((workspace, task)): Path<(String, String)>,
    mut parameters: Parameters,
) -> Result<List<LogEntry>, Problem> {
    let limit = parameters.limit();
    let after = parameters.value("after", "a cursor as answered");
    let cursor = parameters.value("cursor", "a cursor as answered");
    parameters.finish()?;
    let (workspace, task) = (resolve::workspace(&app, &workspace).await?, path_id(&task, "task")?);
    logs::of_task(&app, &workspace, task, after.or(cursor).unwrap_or(0), limit).await
}
