//! The schedules of a workspace.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use capstan_projections::ScheduleFilter;

use crate::App;
use crate::http::parameters::{Parameters, path_id};
use crate::problem::Problem;
use crate::use_case::preview::{self, Preview};
use crate::use_case::read::{List, Object};
use crate::use_case::resolve;

pub(super) async fn list(
    State(app): State<Arc<App>>,
    Path(workspace): Path<String>,
    mut parameters: Parameters,
) -> Result<List, Problem> {
    let agent = parameters.text("agent_id");
    let mut filter = ScheduleFilter {
        source_view_id: parameters.text("source_view_id"),
        agent_id: None,
        active: parameters.flag("active"),
    };
    let page = parameters.page();
    parameters.finish()?;
    let workspace = resolve::workspace(&app, &workspace).await?;
    filter.agent_id = resolve::agent_filter(&app, &workspace, agent).await?;
    app.reads.schedules(&workspace, &filter, &page).await
}

pub(super) async fn one(
    State(app): State<Arc<App>>,
    Path((workspace, schedule)): Path<(String, String)>,
    parameters: Parameters,
) -> Result<Object, Problem> {
    parameters.finish()?;
    let (workspace, schedule) =
        (resolve::workspace(&app, &workspace).await?, path_id(&schedule, "schedule")?);
    app.reads.schedule(&workspace, schedule).await?.ok_or_else(|| Problem::not_found("schedule"))
}

pub(super) async fn next(
    State(app): State<Arc<App>>,
    Path((workspace, schedule)): Path<(String, String)>,
    mut parameters: Parameters,
) -> Result<Json<Preview>, Problem> {
    let count = parameters.value("n", "a number").unwrap_or(preview::COUNT_DEFAULT);
    parameters.finish()?;
    let (workspace, schedule) =
        (resolve::workspace(&app, &workspace).await?, path_id(&schedule, "schedule")?);
    Ok(Json(preview::of_schedule(&app, &workspace, schedule, count).await?))
}
