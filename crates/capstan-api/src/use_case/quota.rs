//! The quotas of a workspace. Without a quota nothing is counted. With one, the read models are counted once they have
//! reached the head of the log. Commands in flight at the same time do not see each other, so together they may exceed
//! a quota by their number.

use capstan_domain::id::TaskId;
use capstan_envelope::Workspace;
use capstan_projections::{AgentFilter, ScheduleFilter};

use super::{streams, wait};
use crate::App;
use crate::call::CommandKey;
use crate::problem::{Code, Problem};

/// Refuses a task that would exceed the workspace's quota of open tasks; a repeat adds none.
pub(super) async fn admit_task(
    app: &App,
    workspace: &Workspace,
    task_id: TaskId,
    key: Option<&CommandKey>,
    max: Option<u32>,
) -> Result<(), Problem> {
    let Some(max) = max else { return Ok(()) };
    if key.is_some() && app.dispatch.tasks.load(&streams::task(workspace, task_id)?).await?.state.is_some() {
        return Ok(());
    }
    wait::for_head(app).await?;
    let open = app.reads.models().count_open_tasks(workspace.as_str(), None).await?;
    admit(open, max, "open tasks")
}

/// Refuses an agent that would exceed the workspace's quota of agents.
pub(super) async fn admit_agent(app: &App, workspace: &Workspace, max: u32) -> Result<(), Problem> {
    wait::for_head(app).await?;
    let agents = app.reads.models().count(workspace.as_str(), &AgentFilter, max.into()).await?;
    admit(agents, max, "agents")
}

/// Refuses a schedule that would exceed the workspace's quota of schedules.
pub(super) async fn admit_schedule(app: &App, workspace: &Workspace, max: u32) -> Result<(), Problem> {
    wait::for_head(app).await?;
    let schedules =
        app.reads.models().count(workspace.as_str(), &ScheduleFilter::default(), max.into()).await?;
    admit(schedules, max, "schedules")
}

fn admit(present: u64, max: u32, what: &str) -> Result<(), Problem> {
    if present < u64::from(max) {
        return Ok(());
    }
    Err(Problem::new(Code::QuotaExceeded, format!("the quota of {what} is reached: {max}")))
}
