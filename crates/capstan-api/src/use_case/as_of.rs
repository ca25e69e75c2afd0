//! The past state of a task or a run, at a position or a time.

use capstan_contract::query::AsOf;
use capstan_domain::id::{RunId, TaskId};
use capstan_envelope::{Position, Recorded, Workspace};

use super::streams;
use crate::App;
use crate::answered::Object;
use crate::problem::Problem;

fn includes(as_of: AsOf, recorded: &Recorded) -> bool {
    match as_of {
        AsOf::Position(position) => position.reaches(recorded.position),
        AsOf::Time(time) => recorded.commit.metadata.occurred_at <= time,
    }
}

/// The task as it stood; not found before its birth.
pub(crate) async fn task(
    app: &App,
    workspace: &Workspace,
    task_id: TaskId,
    as_of: AsOf,
) -> Result<Object, Problem> {
    let commits = commits(app, workspace, task_id, as_of).await?;
    let item = capstan_projections::task_after(&commits, task_id)?;
    item.map(Object::from).ok_or_else(|| Problem::not_found("task"))
}

/// The run as it stood; not found before it was asked for.
pub(crate) async fn run(
    app: &App,
    workspace: &Workspace,
    run_id: RunId,
    as_of: AsOf,
) -> Result<Object, Problem> {
    let task_id = super::resolve::task_of(app, workspace, &run_id, "run").await?;
    let commits = commits(app, workspace, task_id, as_of).await?;
    let item = capstan_projections::run_after(&commits, run_id)?;
    item.map(Object::from).ok_or_else(|| Problem::not_found("run"))
}

/// The commits of a task up to then: a stream is in order, so they are its first ones.
async fn commits(
    app: &App,
    workspace: &Workspace,
    task_id: TaskId,
    as_of: AsOf,
) -> Result<Vec<Recorded>, Problem> {
    if let AsOf::Position(position) = as_of {
        app.must_hold(position).await?;
    }
    let stream = streams::task(workspace, task_id)?;
    let mut commits = app.log.read_stream(&stream, Position::START).await?;
    let end = commits.iter().position(|recorded| !includes(as_of, recorded));
    if let (AsOf::Position(position), Some(0)) = (as_of, end)
        && position != Position::START
        && commits[0].commit.carries_forward()
    {
        return Err(app.archived(position));
    }
    commits.truncate(end.unwrap_or(commits.len()));
    Ok(commits)
}
