//! How a task or a run stood at a position or a time.

use capstan_domain::id::{RunId, TaskId};
use capstan_envelope::{Position, Recorded, Workspace};
use chrono::{DateTime, Utc};

use crate::App;
use crate::http::parameters::Parameters;
use crate::http::responses::Object;
use crate::problem::Problem;
use crate::use_case::execute::task_stream;

/// A point of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AsOf {
    /// With everything up to this position.
    Position(Position),
    /// With everything decided up to this instant.
    Time(DateTime<Utc>),
}

impl AsOf {
    /// Takes `as_of`, when it is given.
    pub(crate) fn take(parameters: &mut Parameters) -> Option<Self> {
        let text = parameters.text("as_of")?;
        if let Ok(position) = text.parse() {
            return Some(Self::Position(position));
        }
        // A plus that was not escaped reads as a blank.
        if let Ok(time) = text.replace(' ', "+").parse() {
            return Some(Self::Time(time));
        }
        parameters.fault("as_of", "must be a position or an instant, as in 2026-01-02T03:04:05Z");
        None
    }

    fn includes(self, recorded: &Recorded) -> bool {
        match self {
            Self::Position(position) => recorded.position <= position,
            Self::Time(time) => recorded.commit.metadata.occurred_at <= time,
        }
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
    let item = capstan_projections::task_after(&commits, task_id).map_err(Problem::internal)?;
    item.map(Object::from).ok_or_else(|| Problem::not_found("task"))
}

/// The run as it stood; not found before it was asked for.
pub(crate) async fn run(
    app: &App,
    workspace: &Workspace,
    run_id: RunId,
    as_of: AsOf,
) -> Result<Object, Problem> {
    let task_id = app.task_of_run(workspace, run_id).await?;
    let commits = commits(app, workspace, task_id, as_of).await?;
    let item = capstan_projections::run_after(&commits, run_id).map_err(Problem::internal)?;
    item.map(Object::from).ok_or_else(|| Problem::not_found("run"))
}

/// The commits of a task up to then: a stream is in order, so they are its first ones.
async fn commits(
    app: &App,
    workspace: &Workspace,
    task_id: TaskId,
    as_of: AsOf,
) -> Result<Vec<Recorded>, Problem> {
    let stream = task_stream(workspace, task_id)?;
    let mut commits = app.log.read_stream(&stream, Position::START).await?;
    let end = commits.iter().position(|recorded| !as_of.includes(recorded));
    commits.truncate(end.unwrap_or(commits.len()));
    Ok(commits)
}
