//! Says something to a task.

use capstan_contract::command::{CommandBody, SubmitTaskInput};
use capstan_dispatch::Decided;
use capstan_domain::id::{InputId, TaskId};
use capstan_domain::task::command::SubmitInput;
use capstan_domain::task::event::InputOutcome;
use capstan_domain::task::{Command, TaskDecider};
use capstan_envelope::Workspace;

use super::{Execute, input_id, required, task_reply, task_stream};
use crate::App;
use crate::call::CallContext;
use crate::problem::Problem;
use crate::receipt::Reply;

impl Execute for SubmitTaskInput {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let task_id: TaskId = required(self.task_id, "/task_id")?;
        let key = call.key(self.idempotency_key())?;
        let stream = task_stream(workspace, task_id)?;
        let context = call.command(&stream, key.as_ref(), &self);
        let input_id = input_id(task_id, key.as_ref(), call);
        let command = Command::SubmitInput(SubmitInput {
            action: self.action,
            input_id,
            run_id: None,
            message: self.message,
            answers: self.answers,
            blocker_id: self.blocker_id,
            message_bytes_max: app.config.message_bytes_max,
            at: call.received_at,
        });
        let decided = app.tasks.execute(&stream, &command, &context).await?;
        let mut reply = task_reply(app, workspace, task_id, &context, &decided).await;
        reply.input = Some((input_id, outcome(&decided, input_id)));
        Ok(reply)
    }
}

/// What became of the input when it was first taken.
pub(super) fn outcome(decided: &Decided<TaskDecider>, input_id: InputId) -> InputOutcome {
    let input = decided.loaded.state.as_ref().and_then(|task| task.input(input_id));
    input.map_or(InputOutcome::Queued, |input| input.outcome)
}
