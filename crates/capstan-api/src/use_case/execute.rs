//! What the commands of callers have in common.

use capstan_contract::command::CommandBody;
use capstan_dispatch::{CommandContext, Decided};
use capstan_domain::id::{AgentId, InputId, TaskId};
use capstan_domain::task::{Command, TaskDecider};
use capstan_envelope::{StreamId, Workspace};
use serde::de::DeserializeOwned;

use super::resolve;
use crate::App;
use crate::call::{CallContext, CommandKey, fresh_id};
use crate::problem::Problem;
use crate::receipt::Reply;

/// A body that can be executed in a workspace.
pub(crate) trait Execute: CommandBody + DeserializeOwned + Send + Sync {
    /// Executes the command.
    fn execute(
        self,
        app: &App,
        workspace: &Workspace,
        call: &CallContext,
    ) -> impl Future<Output = Result<Reply, Problem>> + Send;
}

/// The stream of a task.
pub(crate) fn task_stream(workspace: &Workspace, task_id: TaskId) -> Result<StreamId, Problem> {
    resolve::stream(workspace, "task", &task_id.to_string())
}

/// The id a command must name when no path does.
pub(crate) fn required<T>(id: Option<T>, pointer: &str) -> Result<T, Problem> {
    id.ok_or_else(|| {
        Problem::invalid_field(pointer, format!("{} is required", pointer.trim_start_matches('/')))
    })
}

/// The agent a command names; the command then names it by its id, so that it is the same however it is named.
pub(crate) async fn agent_named(
    app: &App,
    workspace: &Workspace,
    named: &mut Option<String>,
) -> Result<AgentId, Problem> {
    let id = app.agent_id(workspace, &required(named.take(), "/agent_id")?).await?;
    *named = Some(id.to_string());
    Ok(id)
}

/// The id of an input: the same for every repeat of a keyed command.
pub(crate) fn input_id(task_id: TaskId, key: Option<&CommandKey>, call: &CallContext) -> InputId {
    key.map_or_else(|| InputId(fresh_id(call.received_at)), |key| InputId::of_key(task_id, &key.text()))
}

/// Executes a command whose body says all there is to know about it besides the task.
pub(crate) async fn execute_on_task<B: CommandBody>(
    app: &App,
    workspace: &Workspace,
    task_id: TaskId,
    body: &B,
    command: Command,
    call: &CallContext,
) -> Result<Reply, Problem> {
    let key = call.key(body.idempotency_key())?;
    let stream = task_stream(workspace, task_id)?;
    let context = call.command(&stream, key.as_ref(), body);
    let decided = app.dispatch.tasks.execute(&stream, &command, &context).await?;
    Ok(task_reply(app, workspace, task_id, &context, &decided).await)
}

/// The answer to a command on a task that existed before: with the task, when the read models show it in time.
pub(crate) async fn task_reply(
    app: &App,
    workspace: &Workspace,
    task_id: TaskId,
    context: &CommandContext,
    decided: &Decided<TaskDecider>,
) -> Reply {
    let task = app.shown_task(workspace, task_id, decided.position).await;
    Reply::new(axum::http::StatusCode::ACCEPTED, context, decided).showing_object("task", task)
}
