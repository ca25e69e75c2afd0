//! Outputs that callers add to tasks, grow, finish and put away.

use axum::http::StatusCode;
use capstan_contract::command::{
    AppendTaskOutputRows, ArchiveOutput, CommandBody, CreateTaskOutput, FinalizeTaskOutput,
};
use capstan_domain::id::{OutputId, TaskId};
use capstan_domain::task::{Command, command};
use capstan_envelope::Workspace;

use super::execute::{Execute, required, task_stream};
use crate::App;
use crate::call::{CallContext, CommandKey, fresh_id};
use crate::problem::Problem;
use crate::receipt::Reply;

impl Execute for CreateTaskOutput {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let task_id = required(self.task_id, "/task_id")?;
        let key = call.key(self.idempotency_key())?;
        let output_id = self.output_id(task_id, || unnamed_output(task_id, key.as_ref(), call));
        let command = Command::ProduceOutput(Box::new(self.to_command(None, output_id, call.received_at)));
        let about = About { app, workspace, call, task_id, output_id };
        let (mut reply, changed) = about.tell(&self, &command).await?;
        reply.status = if changed { StatusCode::CREATED } else { StatusCode::OK };
        Ok(reply)
    }
}

/// The id of an output without a name: the same for every repeat of a keyed command.
pub(crate) fn unnamed_output(task_id: TaskId, key: Option<&CommandKey>, call: &CallContext) -> OutputId {
    key.map_or_else(
        || OutputId(fresh_id(call.received_at)),
        |key| OutputId::of_name(task_id, &format!("key:{}", key.text())),
    )
}

impl Execute for AppendTaskOutputRows {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let task_id = required(self.task_id, "/task_id")?;
        let output_id = required(self.output_id, "/output_id")?;
        let rows = self.rows.clone();
        let at = call.received_at;
        let append = command::AppendOutputRows { attempt_id: None, output_id, rows, at };
        let about = About { app, workspace, call, task_id, output_id };
        Ok(about.tell(&self, &Command::AppendOutputRows(append)).await?.0)
    }
}

impl Execute for FinalizeTaskOutput {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let task_id = required(self.task_id, "/task_id")?;
        let output_id = required(self.output_id, "/output_id")?;
        let summary = self.summary.clone();
        let at = call.received_at;
        let finalize = command::FinalizeOutput { attempt_id: None, output_id, summary, at };
        let about = About { app, workspace, call, task_id, output_id };
        Ok(about.tell(&self, &Command::FinalizeOutput(finalize)).await?.0)
    }
}

impl Execute for ArchiveOutput {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let output_id = required(self.output_id, "/output_id")?;
        let task_id = app.task_of_output(workspace, output_id).await?;
        let archive = command::ArchiveOutputs { output_ids: vec![output_id], at: call.received_at };
        let about = About { app, workspace, call, task_id, output_id };
        Ok(about.tell(&self, &Command::ArchiveOutputs(archive)).await?.0)
    }
}

/// A command about one output.
struct About<'a> {
    app: &'a App,
    workspace: &'a Workspace,
    call: &'a CallContext,
    task_id: TaskId,
    output_id: OutputId,
}

impl About<'_> {
    /// Tells the output's task; the answer shows the output, and is given with whether anything changed.
    async fn tell<B: CommandBody>(&self, body: &B, command: &Command) -> Result<(Reply, bool), Problem> {
        let key = self.call.key(body.idempotency_key())?;
        let stream = task_stream(self.workspace, self.task_id)?;
        let context = self.call.command(&stream, key.as_ref(), body);
        let decided = self.app.dispatch.tasks.execute(&stream, command, &context).await?;
        let output = self.app.shown_output(self.workspace, self.output_id, decided.position).await;
        let reply = Reply::new(StatusCode::OK, &context, &decided).showing_object("output", output);
        Ok((reply, decided.changed))
    }
}
