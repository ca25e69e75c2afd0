//! Gives a task that ended badly another run.

use capstan_contract::command::{CommandBody, RetryTask};
use capstan_domain::id::InputId;
use capstan_domain::task::Command;
use capstan_domain::task::command::Retry;
use capstan_envelope::Workspace;

use super::execute::{Execute, execute_on_task, required};
use crate::App;
use crate::call::{CallContext, fresh_id};
use crate::problem::Problem;
use crate::receipt::Reply;

impl Execute for RetryTask {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let task_id = required(self.task_id, "/task_id")?;
        let key = call.key(self.idempotency_key())?;
        let command = Command::Retry(Retry {
            message: self.message.clone().unwrap_or_default(),
            // A key counts per command: under the same one an input may have been said.
            input_id: key.map_or_else(
                || InputId(fresh_id(call.received_at)),
                |key| InputId::of_key(task_id, &format!("retry:{}", key.text())),
            ),
            message_bytes_max: app.config.message_bytes_max,
            at: call.received_at,
        });
        execute_on_task(app, workspace, task_id, &self, command, call).await
    }
}
