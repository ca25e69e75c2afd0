//! The commands of a task that exists: input, update, retry, cancel, archive and unarchive; and those of its runs.

use capstan_contract::query::{
    GetTask, GetTaskTree, LIMIT_MAX, ListSubtasks, ListTaskInputs, ListTaskOutputs, ListTaskRuns, ListTasks,
    Page, Wait,
};
use capstan_contract::request::Request;
use capstan_domain::id::TaskId;
use capstan_domain::task::Command;
use capstan_domain::task::command::{
    ArchiveTask, CancelRun, CancelTask, EnqueueRunInput, RetryTask, SubmitInput, SubmitTaskInput,
    UnarchiveTask, UpdateTask,
};
use capstan_envelope::Workspace;
use capstan_projections::{InputsOfTask, OutputFilter, RunFilter, Span, TaskFilter};

use super::answer::Answer;
use super::execute::{Execute, decide_and_show};
use super::input::{self, input_id};
use super::{as_of, resolve, streams};
use crate::App;
use crate::answered::Answered;
use crate::call::CallContext;
use crate::problem::Problem;
use crate::receipt::{Reply, Success};

impl Execute for SubmitTaskInput {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let task_id = self.task_id;
        let key = call.key();
        let context = call.command(&streams::task(workspace, task_id)?, key.as_ref(), &self);
        let input_id = input_id::<Self>(task_id, call);
        let submitted = input::submitted(app, self, input_id, call);
        input::submit(app, workspace, task_id, submitted, (&context, call)).await
    }
}

impl Execute for EnqueueRunInput {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let key = call.key();
        let task_id = resolve::task_of(app, workspace, &self.run_id, "run").await?;
        let context = call.command(&streams::task(workspace, task_id)?, key.as_ref(), &self);
        let run_id = Some(self.run_id);
        let text = SubmitTaskInput::from_text(task_id, self.message);
        let input = SubmitTaskInput { queue_mode: self.queue_mode, ..text };
        let input_id = input_id::<Self>(task_id, call);
        let submitted = input::submitted(app, input, input_id, call);
        input::submit(app, workspace, task_id, SubmitInput { run_id, ..submitted }, (&context, call)).await
    }
}

impl Execute for UpdateTask {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let message_bytes_max = app.config.message_bytes_max;
        let update = |body| Command::Update { command: Box::new(body), message_bytes_max };
        decide(app, workspace, call, self.task_id, Success::Done, self, update).await
    }
}

impl Execute for RetryTask {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let task_id = self.task_id;
        let input_id = input_id::<Self>(task_id, call);
        let message_bytes_max = app.config.message_bytes_max;
        let retry = |command| Command::Retry { command, input_id, message_bytes_max };
        decide(app, workspace, call, task_id, Success::Accepted, self, retry).await
    }
}

impl Execute for CancelTask {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let grace_ms = app.config.cancel_grace_ms;
        let cancel = |command| Command::Cancel { command, grace_ms };
        decide(app, workspace, call, self.task_id, Success::Accepted, self, cancel).await
    }
}

impl Execute for CancelRun {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let grace_ms = app.config.cancel_grace_ms;
        let task_id = resolve::task_of(app, workspace, &self.run_id, "run").await?;
        let cancel = |command| Command::CancelRun { command, grace_ms };
        decide(app, workspace, call, task_id, Success::Accepted, self, cancel).await
    }
}

impl Execute for ArchiveTask {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let grace_ms = app.config.cancel_grace_ms;
        let archive = |command| Command::Archive { command, grace_ms };
        decide(app, workspace, call, self.task_id, Success::Accepted, self, archive).await
    }
}

impl Execute for UnarchiveTask {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        decide(app, workspace, call, self.task_id, Success::Accepted, self, Command::Unarchive).await
    }
}

/// Decides a command on a task; the reply shows the task.
async fn decide<B: Request>(
    app: &App,
    workspace: &Workspace,
    call: &CallContext,
    task_id: TaskId,
    success: Success,
    body: B,
    command: impl FnOnce(B) -> Command,
) -> Result<Reply, Problem> {
    let stream = streams::task(workspace, task_id)?;
    let context = call.command(&stream, call.key().as_ref(), &body);
    let shown = call.shows(app.reads.one(workspace, &task_id));
    decide_and_show(app, &app.dispatch.tasks, &stream, command(body), &context, success, shown).await
}

impl Answer for ListTasks {
    async fn answer(self, app: &App, workspace: &Workspace, page: Page) -> Result<Answered, Problem> {
        let filter = TaskFilter {
            states: self.state,
            agent_id: resolve::agent_filter(app, workspace, self.agent_id).await?,
            priorities: self.priority,
            label: self.label,
            labels: self.labels,
            parent_task_id: self.parent_task_id,
            source_output_ids: self.source_output_id,
            waiting_reasons: self.waiting_reason,
            created: Span { after: self.created_after, before: self.created_before },
            updated: Span { after: self.updated_after, before: self.updated_before },
            archived: self.archived.wanted(),
            text: self.q,
        };
        Ok(app.reads.list(workspace, &filter, &page).await?.into())
    }
}

impl Answer for GetTask {
    async fn answer(self, app: &App, workspace: &Workspace, _: Wait) -> Result<Answered, Problem> {
        match self.as_of {
            Some(as_of) => Ok(as_of::task(app, workspace, self.task_id, as_of).await?.into()),
            None => app.reads.get(workspace, &self.task_id, "task").await,
        }
    }
}

impl Answer for ListSubtasks {
    async fn answer(self, app: &App, workspace: &Workspace, page: Page) -> Result<Answered, Problem> {
        resolve::existing_task(app, workspace, self.task_id).await?;
        let filter = TaskFilter {
            parent_task_id: Some(self.task_id),
            source_output_ids: self.source_output_id,
            ..TaskFilter::default()
        };
        Ok(app.reads.list(workspace, &filter, &page).await?.into())
    }
}

impl Answer for ListTaskRuns {
    async fn answer(self, app: &App, workspace: &Workspace, page: Page) -> Result<Answered, Problem> {
        resolve::existing_task(app, workspace, self.task_id).await?;
        let filter = RunFilter { task_id: Some(self.task_id), ..RunFilter::default() };
        Ok(app.reads.list(workspace, &filter, &page).await?.into())
    }
}

impl Answer for ListTaskOutputs {
    async fn answer(self, app: &App, workspace: &Workspace, page: Page) -> Result<Answered, Problem> {
        resolve::existing_task(app, workspace, self.task_id).await?;
        let filter = OutputFilter { task_id: Some(self.task_id), ..OutputFilter::default() };
        Ok(app.reads.list(workspace, &filter, &page).await?.into())
    }
}

impl Answer for ListTaskInputs {
    async fn answer(self, app: &App, workspace: &Workspace, page: Page) -> Result<Answered, Problem> {
        resolve::existing_task(app, workspace, self.task_id).await?;
        Ok(app.reads.list(workspace, &InputsOfTask(self.task_id), &page).await?.into())
    }
}

/// Levels below the task in a tree, by default and at most.
const DEPTH_DEFAULT: u32 = 5;
const DEPTH_MAX: u32 = 50;

impl Answer for GetTaskTree {
    async fn answer(self, app: &App, workspace: &Workspace, _: Wait) -> Result<Answered, Problem> {
        let tasks_max = self.limit.unwrap_or(LIMIT_MAX).clamp(1, LIMIT_MAX);
        let depth_max = self.depth.unwrap_or(DEPTH_DEFAULT).min(DEPTH_MAX);
        let models = app.reads.models();
        let found = models.task_tree(workspace.as_str(), self.task_id, depth_max, tasks_max).await?;
        let (tree, position) = found.ok_or_else(|| Problem::not_found("task"))?;
        Ok(Answered::json(&tree).at(position))
    }
}
