//! Takes a task out of the archive.

use capstan_contract::command::UnarchiveTask;
use capstan_domain::task::Command;
use capstan_domain::task::command::Unarchive;
use capstan_envelope::Workspace;

use super::execute::{Execute, execute_on_task, required};
use crate::App;
use crate::call::CallContext;
use crate::problem::Problem;
use crate::receipt::Reply;

impl Execute for UnarchiveTask {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let task_id = required(self.task_id, "/task_id")?;
        let command = Command::Unarchive(Unarchive { at: call.received_at });
        execute_on_task(app, workspace, task_id, &self, command, call).await
    }
}
