//! Cancels a task.

use capstan_contract::command::{CancelTask, CommandBody};
use capstan_domain::task::Command;
use capstan_domain::task::command::Cancel;
use capstan_envelope::Workspace;

use super::{Execute, required, task_reply, task_stream};
use crate::App;
use crate::call::CallContext;
use crate::problem::Problem;
use crate::receipt::Reply;

impl Execute for CancelTask {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let task_id = required(self.task_id, "/task_id")?;
        let key = call.key(self.idempotency_key())?;
        let stream = task_stream(workspace, task_id)?;
        let context = call.command(&stream, key.as_ref(), &self);
        let command = Command::Cancel(Cancel {
            reason: self.reason,
            grace_ms: app.config.cancel_grace_ms,
            at: call.received_at,
        });
        let decided = app.tasks.execute(&stream, &command, &context).await?;
        Ok(task_reply(app, workspace, task_id, &context, &decided).await)
    }
}
