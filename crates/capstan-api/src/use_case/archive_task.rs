//! Puts a task away.

use capstan_contract::command::ArchiveTask;
use capstan_domain::task::Command;
use capstan_domain::task::command::Archive;
use capstan_envelope::Workspace;

use super::execute::{Execute, execute_on_task, required};
use crate::App;
use crate::call::CallContext;
use crate::problem::Problem;
use crate::receipt::Reply;

impl Execute for ArchiveTask {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let task_id = required(self.task_id, "/task_id")?;
        let command = Archive { grace_ms: app.config.cancel_grace_ms, at: call.received_at };
        execute_on_task(app, workspace, task_id, &self, Command::Archive(command), call).await
    }
}
