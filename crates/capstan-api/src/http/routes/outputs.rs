//! What the agents of a workspace produced.

use std::sync::Arc;

use axum::extract::{Path, State};
use capstan_projections::OutputFilter;

use crate::App;
use crate::http::parameters::{Parameters, path_id};
use crate::problem::Problem;
use crate::use_case::read::{List, Object};
use crate::use_case::resolve;

type InTask = Path<(String, String, String)>;

/// The feed: without what was put away and what only supports something else, unless they are asked for.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Path(workspace): Path<String>,
    mut parameters: Parameters,
) -> Result<List, Problem> {
    let page = parameters.page();
    let agent = parameters.text("agent_id");
    let with_hidden = parameters.flag("hidden").unwrap_or(false);
    let mut filter = OutputFilter {
        task_id: parameters.value("task_id", "a task id"),
        agent_id: None,
        output_type: parameters.text("type"),
        statuses: parameters.choices("status", "states of outputs"),
        archived: parameters.archived(),
        hidden: (!with_hidden).then_some(false),
        created: parameters.span("created"),
    };
    parameters.finish()?;
    let workspace = resolve::workspace(&app, &workspace).await?;
    filter.agent_id = resolve::agent_filter(&app, &workspace, agent).await?;
    app.reads.outputs(&workspace, &filter, &page).await
}

pub(super) async fn one(
    State(app): State<Arc<App>>,
    Path((workspace, output)): Path<(String, String)>,
    parameters: Parameters,
) -> Result<Object, Problem> {
    parameters.finish()?;
    let (workspace, output) = (resolve::workspace(&app, &workspace).await?, path_id(&output, "output")?);
    app.reads.output(&workspace, None, output).await?.ok_or_else(|| Problem::not_found("output"))
}

/// The output of the path, when it is of the task of the path.
pub(super) async fn of_task(
    State(app): State<Arc<App>>,
    Path((workspace, task, output)): InTask,
    parameters: Parameters,
) -> Result<Object, Problem> {
    parameters.finish()?;
    let (task, output) = (path_id(&task, "task")?, path_id(&output, "output")?);
    let workspace = resolve::workspace(&app, &workspace).await?;
    app.reads.output(&workspace, Some(task), output).await?.ok_or_else(|| Problem::not_found("output"))
}
