//! The interaction state of a run: its agent works, waits or is gone. Chat windows show it.

use capstan_contract::query::{GetRunInteraction, Wait};
use capstan_domain::id::{AttemptId, RunId, TaskId};
use capstan_domain::task::{Task, TaskState};
use capstan_envelope::Workspace;
use schemars::JsonSchema;
use serde::Serialize;

use super::answer::Answer;
use super::streams;
use crate::App;
use crate::answered::Answered;
use crate::problem::Problem;

/// The interaction state of a run.
#[serde_with::skip_serializing_none]
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Interaction {
    run_id: RunId,
    task_id: TaskId,
    state: InteractionState,
    /// The attempt that would hear an input now.
    attempt_id: Option<AttemptId>,
    /// Inputs no run has yet.
    inputs_pending: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum InteractionState {
    /// It works, or will as soon as a worker takes it.
    Working,
    /// Its agent waits for an answer.
    WaitingForInput,
    /// It is over.
    Closed,
}

/// Asks the task a run belongs to, as the log has it.
pub(crate) async fn of_run(app: &App, workspace: &Workspace, run_id: RunId) -> Result<Interaction, Problem> {
    let task_id = super::resolve::task_of(app, workspace, &run_id, "run").await?;
    let loaded = app.dispatch.tasks.refresh(&streams::task(workspace, task_id)?).await?;
    let task = loaded.state.as_deref().ok_or_else(|| Problem::not_found("run"))?;
    interaction(task, run_id).ok_or_else(|| Problem::not_found("run"))
}

fn interaction(task: &Task, run_id: RunId) -> Option<Interaction> {
    let is_over = match task.run(run_id) {
        Some(run) => run.status.is_terminal(),
        None if task.had_run(run_id) => true,
        None => return None,
    };
    let live = task.working_attempt().filter(|live| live.run_id == run_id);
    let state = match (is_over, task.state) {
        (true, _) => InteractionState::Closed,
        (false, TaskState::Waiting) => InteractionState::WaitingForInput,
        (false, _) => InteractionState::Working,
    };
    Some(Interaction {
        run_id,
        task_id: task.id(),
        state,
        attempt_id: live.map(|live| live.attempt_id.clone()),
        inputs_pending: task.pending_inputs().count(),
    })
}

impl Answer for GetRunInteraction {
    async fn answer(self, app: &App, workspace: &Workspace, _: Wait) -> Result<Answered, Problem> {
        Ok(Answered::json(&of_run(app, workspace, self.run_id).await?))
    }
}
