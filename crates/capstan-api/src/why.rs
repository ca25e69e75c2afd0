//! Why a task does not run: promised to be answered for every task, in typed reasons.

use capstan_domain::id::TaskId;
use capstan_domain::matching::WaitingReason;
use capstan_domain::task::TaskState;
use capstan_envelope::{StreamId, Workspace};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use crate::App;
use crate::problem::Problem;

/// What is answered.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Why {
    task_id: TaskId,
    state: TaskState,
    /// None for a task that runs or is over.
    reasons: Vec<Reason>,
}

/// One reason.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum Reason {
    /// The queue's.
    Queued(WaitingReason),
    /// The task's own.
    Own(OwnReason),
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "reason", rename_all = "snake_case")]
enum OwnReason {
    /// A question is open.
    WaitingForAnswer { blocker_id: capstan_domain::id::BlockerId, summary: String },
    /// A timer will wake it.
    Sleeping { until: DateTime<Utc> },
}

/// Asks the task, and the engine while it is queued.
pub(crate) async fn of_task(app: &App, workspace: &Workspace, task_id: TaskId) -> Result<Why, Problem> {
    let stream = StreamId::new(workspace.clone(), "task", &task_id.to_string()).map_err(Problem::internal)?;
    let loaded = app.tasks.load(&stream).await?;
    let Some(task) = loaded.state.as_deref() else { return Err(Problem::not_found("task")) };
    let reasons = match task.state {
        TaskState::Queued => {
            let reasons = app.engine.why(workspace.as_str(), task_id).await?;
            reasons.into_iter().map(Reason::Queued).collect()
        }
        TaskState::Waiting => task
            .blocker
            .iter()
            .map(|blocker| OwnReason::WaitingForAnswer {
                blocker_id: blocker.opened.blocker_id,
                summary: blocker.opened.summary.clone(),
            })
            .map(Reason::Own)
            .collect(),
        TaskState::Sleeping => {
            task.sleep.iter().map(|sleep| Reason::Own(OwnReason::Sleeping { until: sleep.wake_at })).collect()
        }
        TaskState::Running
        | TaskState::Done
        | TaskState::Error
        | TaskState::Dropped
        | TaskState::Cancelled => Vec::new(),
    };
    Ok(Why { task_id, state: task.state, reasons })
}
