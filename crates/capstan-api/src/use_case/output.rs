//! The commands of an output: create, append rows, finalize and archive.

use capstan_contract::query::{GetOutput, GetTaskOutput, ListOutputRows, ListOutputs, Page, Wait, page_size};
use capstan_contract::request::Request;
use capstan_domain::id::{OutputId, TaskId};
use capstan_domain::task::Command;
use capstan_domain::task::command::{
    AppendOutputRows, AppendTaskOutputRows, ArchiveOutput, ArchiveOutputs, CreateTaskOutput, FinalizeOutput,
    FinalizeTaskOutput, ProduceOutput,
};
use capstan_envelope::Workspace;
use capstan_projections::{OutputFilter, OutputOfTask, OutputRows, Span};

use super::answer::Answer;
use super::execute::Execute;
use super::{resolve, streams, wait};
use crate::App;
use crate::answered::{Answered, List};
use crate::call::{CallContext, CommandKey};
use crate::problem::Problem;
use crate::receipt::{Reply, Success};

impl Execute for CreateTaskOutput {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let task_id = self.task_id;
        let output = Box::new(ProduceOutput::from(self.clone()));
        let output_id = output.output_id(task_id, || unnamed_output(task_id, call.key().as_ref(), call));
        let fingerprint = app.fingerprint(&output.identity(task_id));
        let command = Command::ProduceOutput { command: output, fingerprint, output_id, attempt_id: None };
        let target = Target { app, workspace, call, task_id, output_id };
        let (mut reply, changed) = target.execute(&self, command).await?;
        reply.success = if changed { Success::Created } else { Success::Done };
        Ok(reply)
    }
}

/// The id of an output without a name.
pub(crate) fn unnamed_output(task_id: TaskId, key: Option<&CommandKey>, call: &CallContext) -> OutputId {
    call.keyed_id(key, |key| OutputId::of_key(task_id, key))
}

impl Execute for AppendTaskOutputRows {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let task_id = self.task_id;
        let output_id = self.output_id;
        let command = AppendOutputRows { output_id, rows: self.rows.clone() };
        let target = Target { app, workspace, call, task_id, output_id };
        Ok(target.execute(&self, Command::AppendOutputRows { command, attempt_id: None }).await?.0)
    }
}

impl Execute for FinalizeTaskOutput {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let task_id = self.task_id;
        let output_id = self.output_id;
        let command = FinalizeOutput { output_id, summary: self.summary.clone() };
        let fingerprint = app.fingerprint(&command.identity(task_id));
        let command = Command::FinalizeOutput { command, fingerprint, attempt_id: None };
        let target = Target { app, workspace, call, task_id, output_id };
        Ok(target.execute(&self, command).await?.0)
    }
}

impl Execute for ArchiveOutput {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let output_id = self.output_id;
        let task_id = resolve::task_of(app, workspace, &output_id, "output").await?;
        let archive = ArchiveOutputs { output_ids: vec![output_id] };
        let target = Target { app, workspace, call, task_id, output_id };
        Ok(target.execute(&self, Command::ArchiveOutputs(archive)).await?.0)
    }
}

/// The output a command is about.
struct Target<'a> {
    app: &'a App,
    workspace: &'a Workspace,
    call: &'a CallContext,
    task_id: TaskId,
    output_id: OutputId,
}

impl Target<'_> {
    /// Executes the command on the output's task. Returns the reply, which shows the output, and true when something
    /// changed.
    async fn execute<B: Request>(&self, body: &B, command: Command) -> Result<(Reply, bool), Problem> {
        let Self { app, workspace, call, task_id, output_id } = *self;
        let key = call.key();
        let stream = streams::task(workspace, task_id)?;
        let context = call.command(&stream, key.as_ref(), body);
        let decided = app.dispatch.tasks.execute(&stream, &command.at(call.received_at), &context).await?;
        let output =
            wait::shown(app, decided.position, call.shows(app.reads.one(workspace, &output_id))).await;
        let reply = Reply::new(Success::Done, &stream, &context, &decided).showing_object("output", output);
        Ok((Reply { output_id: Some(output_id), ..reply }, decided.changed))
    }
}

impl Answer for ListOutputs {
    async fn answer(self, app: &App, workspace: &Workspace, page: Page) -> Result<Answered, Problem> {
        let filter = OutputFilter {
            task_id: self.task_id,
            agent_id: resolve::agent_filter(app, workspace, self.agent_id).await?,
            output_type: self.output_type,
            statuses: self.status,
            archived: self.archived.wanted(),
            hidden: (!self.hidden).then_some(false),
            created: Span { after: self.created_after, before: self.created_before },
        };
        Ok(app.reads.list(workspace, &filter, &page).await?.into())
    }
}

impl Answer for GetOutput {
    async fn answer(self, app: &App, workspace: &Workspace, _: Wait) -> Result<Answered, Problem> {
        app.reads.get(workspace, &self.output_id, "output").await
    }
}

impl Answer for GetTaskOutput {
    async fn answer(self, app: &App, workspace: &Workspace, _: Wait) -> Result<Answered, Problem> {
        app.reads.get(workspace, &OutputOfTask(self.task_id, self.output_id), "output").await
    }
}

impl Answer for ListOutputRows {
    async fn answer(self, app: &App, workspace: &Workspace, _: Wait) -> Result<Answered, Problem> {
        let limit = page_size(self.limit);
        let after = self.cursor.unwrap_or_default();
        let page = app.reads.models().output_rows(workspace.as_str(), self.output_id, after, limit).await?;
        let OutputRows { rows, is_more, position } = page.ok_or_else(|| Problem::not_found("output"))?;
        let next_cursor = rows.last().filter(|_| is_more).map(|last| last.number.to_string());
        Ok(List { items: rows, next_cursor, position, limit, total: None }.into())
    }
}
