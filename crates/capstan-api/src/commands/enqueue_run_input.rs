//! Says something to the task of a run.

use capstan_contract::command::{CommandBody, EnqueueRunInput};
use capstan_domain::task::Command;
use capstan_domain::task::command::SubmitInput;
use capstan_envelope::Workspace;

use super::submit_task_input::outcome;
use super::{Execute, input_id, required, task_reply, task_stream};
use crate::App;
use crate::call::CallContext;
use crate::problem::Problem;
use crate::receipt::Reply;

impl Execute for EnqueueRunInput {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let run_id = required(self.run_id, "/run_id")?;
        let key = call.key(self.idempotency_key())?;
        let task_id = app.task_of_run(workspace, run_id).await?;
        let stream = task_stream(workspace, task_id)?;
        let context = call.command(&stream, key.as_ref(), &self);
        let input_id = input_id(task_id, key.as_ref(), call);
        let command = Command::SubmitInput(SubmitInput {
            action: None,
            input_id,
            run_id: Some(run_id),
            message: self.message,
            answers: serde_json::Map::new(),
            blocker_id: None,
            message_bytes_max: app.config.message_bytes_max,
            at: call.received_at,
        });
        let decided = app.tasks.execute(&stream, &command, &context).await?;
        let mut reply = task_reply(app, workspace, task_id, &context, &decided).await;
        reply.input = Some((input_id, outcome(&decided, input_id)));
        Ok(reply)
    }
}
