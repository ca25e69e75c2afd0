//! The commands of a task that exists: input, update, retry, cancel, archive and unarchive; and those of its runs.

use capstan_contract::command::{
    ArchiveTask, CancelRun, CancelTask, CommandBody, DecidedItem, EnqueueRunInput, RetryTask,
    SubmitTaskInput, UnarchiveTask, UpdateTask,
};
use capstan_domain::id::{InputId, TaskId};
use capstan_domain::task::command::{Archive, Cancel, ItemSpec, Retry, SubmitInput, Unarchive, Update};
use capstan_domain::task::{Command, command};
use capstan_envelope::Workspace;

use super::execute::Execute;
use super::input::{self, input_id};
use super::{resolve, streams, wait};
use crate::App;
use crate::call::{CallContext, fresh_id};
use crate::problem::Problem;
use crate::receipt::{Reply, Success};

impl Execute for SubmitTaskInput {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let task_id: TaskId = self.task_id;
        let key = call.key();
        let context = call.command(&streams::task(workspace, task_id)?, key.as_ref(), &self);
        let item =
            |DecidedItem { output_id, action, reason }| ItemSpec { output_id, action, reason, of_task: None };
        let submitted = SubmitInput {
            kind: self.kind,
            action: self.action,
            message: self.message,
            items: self.items.into_iter().map(item).collect(),
            answers: self.answers,
            queue_mode: self.queue_mode,
            blocker_id: self.blocker_id,
            ..input::blank(app, input_id(task_id, key.as_ref(), call), call)
        };
        input::submit(app, workspace, task_id, submitted, &context).await
    }
}

impl Execute for EnqueueRunInput {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let run_id = self.run_id;
        let key = call.key();
        let task_id = resolve::task_of_run(app, workspace, run_id).await?;
        let context = call.command(&streams::task(workspace, task_id)?, key.as_ref(), &self);
        let submitted = SubmitInput {
            run_id: Some(run_id),
            message: self.message,
            queue_mode: self.queue_mode,
            ..input::blank(app, input_id(task_id, key.as_ref(), call), call)
        };
        input::submit(app, workspace, task_id, submitted, &context).await
    }
}

impl Execute for UpdateTask {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let body = self.clone();
        let command = Command::Update(Box::new(Update {
            priority: body.priority,
            budget_usd: body.budget_usd,
            payload: body.payload_json.map(Into::into).unwrap_or_default(),
            routing: body.routing_json,
            label: body.label,
            labels: body.labels,
            deadline: body.deadline,
            message_bytes_max: app.config.message_bytes_max,
        }));
        let task_id = self.task_id;
        decide(app, workspace, task_id, Success::Done, &self, command, call).await
    }
}

impl Execute for RetryTask {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let task_id = self.task_id;
        let key = call.key();
        let command = Command::Retry(Retry {
            message: self.message.clone().unwrap_or_default(),
            // Keys are per command: an input may have been submitted under the same one.
            input_id: key.map_or_else(
                || InputId(fresh_id(call.received_at)),
                |key| InputId::of_key(task_id, &format!("retry:{}", key.text())),
            ),
            message_bytes_max: app.config.message_bytes_max,
        });
        decide(app, workspace, task_id, Success::Accepted, &self, command, call).await
    }
}

impl Execute for CancelTask {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let task_id = self.task_id;
        let command =
            Command::Cancel(Cancel { reason: self.reason.clone(), grace_ms: app.config.cancel_grace_ms });
        decide(app, workspace, task_id, Success::Accepted, &self, command, call).await
    }
}

/// Cancels a run, and with it its task.
impl Execute for CancelRun {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let run_id = self.run_id;
        let task_id = resolve::task_of_run(app, workspace, run_id).await?;
        let command = Command::CancelRun(command::CancelRun {
            run_id,
            reason: self.reason.clone(),
            grace_ms: app.config.cancel_grace_ms,
        });
        decide(app, workspace, task_id, Success::Accepted, &self, command, call).await
    }
}

impl Execute for ArchiveTask {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let task_id = self.task_id;
        let archive = Archive { grace_ms: app.config.cancel_grace_ms };
        decide(app, workspace, task_id, Success::Accepted, &self, Command::Archive(archive), call).await
    }
}

impl Execute for UnarchiveTask {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let task_id = self.task_id;
        decide(app, workspace, task_id, Success::Accepted, &self, Command::Unarchive(Unarchive), call).await
    }
}

/// Executes a command on a task; the answer shows the task when the read models have it in time.
async fn decide<B: CommandBody>(
    app: &App,
    workspace: &Workspace,
    task_id: TaskId,
    success: Success,
    body: &B,
    command: Command,
    call: &CallContext,
) -> Result<Reply, Problem> {
    let key = call.key();
    let stream = streams::task(workspace, task_id)?;
    let context = call.command(&stream, key.as_ref(), body);
    let decided = app.dispatch.tasks.execute(&stream, &command.at(call.received_at), &context).await?;
    let task = wait::shown(app, decided.position, app.reads.task(workspace, task_id)).await;
    Ok(Reply::new(success, &context, &decided).showing_object("task", task))
}
