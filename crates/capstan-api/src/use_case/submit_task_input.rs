//! Says something to a task.

use capstan_contract::command::{CommandBody, DecidedItem, SubmitTaskInput};
use capstan_domain::id::TaskId;
use capstan_domain::task::command::{ItemSpec, SubmitInput};
use capstan_envelope::Workspace;

use super::execute::{Execute, input_id, required, task_stream};
use super::input::{blank, say};
use crate::App;
use crate::call::CallContext;
use crate::problem::Problem;
use crate::receipt::Reply;

impl Execute for SubmitTaskInput {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let task_id: TaskId = required(self.task_id, "/task_id")?;
        let key = call.key(self.idempotency_key())?;
        let context = call.command(&task_stream(workspace, task_id)?, key.as_ref(), &self);
        let item =
            |DecidedItem { output_id, action, reason }| ItemSpec { output_id, action, reason, of_task: None };
        let input = SubmitInput {
            kind: self.kind,
            action: self.action,
            message: self.message,
            items: self.items.into_iter().map(item).collect(),
            answers: self.answers,
            queue_mode: self.queue_mode,
            blocker_id: self.blocker_id,
            ..blank(app, input_id(task_id, key.as_ref(), call), call)
        };
        say(app, workspace, task_id, input, &context).await
    }
}
