//! Cancels a run, and with it its task.

use capstan_contract::command::{CancelRun, CommandBody};
use capstan_domain::task::{Command, command};
use capstan_envelope::Workspace;

use super::execute::{Execute, required, task_reply, task_stream};
use crate::App;
use crate::call::CallContext;
use crate::problem::Problem;
use crate::receipt::Reply;

impl Execute for CancelRun {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let run_id = required(self.run_id, "/run_id")?;
        let key = call.key(self.idempotency_key())?;
        let task_id = app.task_of_run(workspace, run_id).await?;
        let stream = task_stream(workspace, task_id)?;
        let context = call.command(&stream, key.as_ref(), &self);
        let command = Command::CancelRun(command::CancelRun {
            run_id,
            reason: self.reason,
            grace_ms: app.config.cancel_grace_ms,
            at: call.received_at,
        });
        let decided = app.dispatch.tasks.execute(&stream, &command, &context).await?;
        Ok(task_reply(app, workspace, task_id, &context, &decided).await)
    }
}
