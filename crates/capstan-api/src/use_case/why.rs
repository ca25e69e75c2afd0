//! The reasons why a task does not run, typed, for every task.

use capstan_contract::query::{Wait, WhyIsTaskWaiting};
use capstan_domain::id::TaskId;
use capstan_domain::matching::WaitingReason;
use capstan_domain::task::TaskState;
use capstan_domain::task::event::{BlockerOpened, BudgetScope};
use capstan_envelope::Workspace;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use super::answer::Answer;
use crate::App;
use crate::answered::Answered;
use crate::problem::Problem;

/// The answer.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Why {
    task_id: TaskId,
    state: TaskState,
    /// The reasons; empty for a task that runs or has ended.
    reasons: Vec<Reason>,
}

/// One reason.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum Reason {
    /// A reason of the queue.
    Queued(WaitingReason),
    /// A reason in the task itself.
    Own(OwnReason),
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "reason", rename_all = "snake_case")]
enum OwnReason {
    /// A question is open.
    WaitingForAnswer { blocker_id: capstan_domain::id::BlockerId, summary: String },
    /// An approved tool call is not finished.
    ToolCall { tool_call_id: capstan_domain::id::ToolCallId, tool: String },
    /// A budget is spent; the task continues when the budget is raised.
    WaitingForBudget { blocker_id: capstan_domain::id::BlockerId, scope: BudgetScope, summary: String },
    /// A timer will wake it.
    Sleeping { until: DateTime<Utc> },
}

fn waits_on(opened: &BlockerOpened) -> OwnReason {
    let (blocker_id, summary) = (opened.blocker_id, opened.summary.clone());
    match opened.budget {
        Some(scope) => OwnReason::WaitingForBudget { blocker_id, scope, summary },
        None => OwnReason::WaitingForAnswer { blocker_id, summary },
    }
}

/// Asks the task, and the engine while it is queued.
async fn of_task(app: &App, workspace: &Workspace, task_id: TaskId) -> Result<Why, Problem> {
    let stream = super::streams::task(workspace, task_id)?;
    let loaded = app.dispatch.tasks.load(&stream).await?;
    let Some(task) = loaded.state.as_deref() else { return Err(Problem::not_found("task")) };
    let reasons = match task.state {
        TaskState::Queued => {
            let reasons = app.engine.why(workspace.as_str(), task_id).await?;
            reasons.into_iter().map(Reason::Queued).collect()
        }
        TaskState::Waiting => {
            let open = task.blocker.as_ref().map(|blocker| waits_on(&blocker.opened));
            let executing =
                task.executing_call().filter(|_| open.is_none()).map(|call| OwnReason::ToolCall {
                    tool_call_id: call.deferred.tool_call_id,
                    tool: call.deferred.tool.clone(),
                });
            open.into_iter().chain(executing).map(Reason::Own).collect()
        }
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

impl Answer for WhyIsTaskWaiting {
    async fn answer(self, app: &App, workspace: &Workspace, _: Wait) -> Result<Answered, Problem> {
        Ok(Answered::json(&of_task(app, workspace, self.task_id).await?))
    }
}
