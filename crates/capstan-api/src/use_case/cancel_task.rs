//! Cancels a task.

use capstan_contract::command::CancelTask;
use capstan_domain::task::Command;
use capstan_domain::task::command::Cancel;
use capstan_envelope::Workspace;

use super::execute::{Execute, execute_on_task, required};
use crate::App;
use crate::call::CallContext;
use crate::problem::Problem;
use crate::receipt::Reply;

impl Execute for CancelTask {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let task_id = required(self.task_id, "/task_id")?;
        let command = Command::Cancel(Cancel {
            reason: self.reason.clone(),
            grace_ms: app.config.cancel_grace_ms,
            at: call.received_at,
        });
        execute_on_task(app, workspace, task_id, &self, command, call).await
    }
}
