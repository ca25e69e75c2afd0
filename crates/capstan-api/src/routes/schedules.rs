//! The schedules of a workspace.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use capstan_contract::command::{
    CreateSchedule, DeleteSchedule, PauseSchedule, ResumeSchedule, TriggerSchedule, UpdateSchedule,
};
use capstan_domain::id::ScheduleId;
use capstan_projections::ScheduleFilter;
use serde::de::DeserializeOwned;

use crate::App;
use crate::body;
use crate::call::CallContext;
use crate::commands::Execute;
use crate::parameters::{Parameters, path_id};
use crate::preview::{self, Preview};
use crate::problem::Problem;
use crate::receipt::Reply;
use crate::shown::{List, Object, page};

/// A body whose schedule the path may name.
pub(super) trait OfSchedule: Execute + DeserializeOwned {
    fn schedule_id(&mut self) -> &mut Option<ScheduleId>;
}

macro_rules! of_schedule {
    ($($body:ident),*) => {
        $(impl OfSchedule for $body {
            fn schedule_id(&mut self) -> &mut Option<ScheduleId> {
                &mut self.schedule_id
            }
        })*
    };
}

of_schedule!(UpdateSchedule, DeleteSchedule, PauseSchedule, ResumeSchedule, TriggerSchedule);

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
    body::parse::<CreateSchedule>(&json)?.execute(&app, &workspace, &call).await
}

/// A command about the schedule of the path.
pub(super) async fn about<B: OfSchedule>(
    State(app): State<Arc<App>>,
    Path((workspace, schedule)): Path<(String, String)>,
    parameters: Parameters,
    call: CallContext,
    request: Request,
) -> Result<Reply, Problem> {
    parameters.finish()?;
    let (head, body) = request.into_parts();
    let json = body::read(&head.headers, body, app.config.command_bytes_max).await?;
    let (workspace, schedule_id) = (app.workspace(&workspace).await?, path_id(&schedule, "schedule")?);
    let mut body: B = body::parse_optional(&json)?;
    let named = body.schedule_id();
    *named = body::of_path(*named, schedule_id, "/schedule_id")?;
    body.execute(&app, &workspace, &call).await
}

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
    let page = page(&mut parameters);
    parameters.finish()?;
    let workspace = app.workspace(&workspace).await?;
    filter.agent_id = app.agent_filter(&workspace, agent).await?;
    app.reads.schedules(&workspace, &filter, &page).await
}

pub(super) async fn one(
    State(app): State<Arc<App>>,
    Path((workspace, schedule)): Path<(String, String)>,
    parameters: Parameters,
) -> Result<Object, Problem> {
    parameters.finish()?;
    let (workspace, schedule) = (app.workspace(&workspace).await?, path_id(&schedule, "schedule")?);
    app.reads.schedule(&workspace, schedule).await?.ok_or_else(|| Problem::not_found("schedule"))
}

pub(super) async fn next(
    State(app): State<Arc<App>>,
    Path((workspace, schedule)): Path<(String, String)>,
    mut parameters: Parameters,
) -> Result<Json<Preview>, Problem> {
    let count = parameters.value("n", "a number").unwrap_or(preview::COUNT_DEFAULT);
    parameters.finish()?;
    let (workspace, schedule) = (app.workspace(&workspace).await?, path_id(&schedule, "schedule")?);
    Ok(Json(preview::of_schedule(&app, &workspace, schedule, count).await?))
}
