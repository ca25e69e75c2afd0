//! Says something to the task of a run.

use capstan_contract::command::{CommandBody, EnqueueRunInput};
use capstan_domain::task::command::SubmitInput;
use capstan_envelope::Workspace;

use super::execute::{Execute, input_id, required, task_stream};
use super::input::{blank, say};
use crate::App;
use crate::call::CallContext;
use crate::problem::Problem;
use crate::receipt::Reply;

impl Execute for EnqueueRunInput {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let run_id = required(self.run_id, "/run_id")?;
        let key = call.key(self.idempotency_key())?;
        let task_id = app.task_of_run(workspace, run_id).await?;
        let context = call.command(&task_stream(workspace, task_id)?, key.as_ref(), &self);
        let input = SubmitInput {
            run_id: Some(run_id),
            message: self.message,
            queue_mode: self.queue_mode,
            ..blank(app, input_id(task_id, key.as_ref(), call), call)
        };
        say(app, workspace, task_id, input, &context).await
    }
}
