//! Callers' commands, one file each: from a body to a receipt, whichever way it came.
//!
//! A command file looks up what the decider must be told, derives the ids, and shows the entity as it is decided.
//! It holds no rule.

mod accept_agent_command;
mod archive_all_outputs;
mod archive_task;
mod cancel_run;
mod cancel_task;
mod configure_class;
mod continuation;
mod create_agent;
mod create_schedule;
mod create_workspace;
mod delete_agent;
mod delete_channel_binding;
mod enqueue_run_input;
mod issue_token;
mod publish_source_event;
mod retry_task;
mod revoke_token;
mod say;
mod schedules;
mod submit_task_input;
mod task_outputs;
mod trigger_schedule;
mod unarchive_task;
mod update_agent;
mod update_task;
mod update_workspace;
mod upsert_channel_binding;

use capstan_contract::command::{
    AcceptAgentCommand, AnyCommand, AppendTaskOutputRows, ArchiveAllOutputs, ArchiveOutput, ArchiveTask,
    CancelRun, CancelTask, CommandBody, ConfigureClass, CreateAgent, CreateSchedule, CreateTaskOutput,
    CreateWorkspace, DeleteAgent, DeleteChannelBinding, DeleteSchedule, EnqueueRunInput, FinalizeTaskOutput,
    IssueToken, PauseSchedule, PublishSourceEvent, ResumeSchedule, RetryTask, RevokeToken, SubmitTaskInput,
    TriggerSchedule, UnarchiveTask, UpdateAgent, UpdateSchedule, UpdateTask, UpdateWorkspace,
    UpsertChannelBinding,
};
use capstan_dispatch::{CommandContext, Decided};
use capstan_domain::id::{AgentId, InputId, TaskId};
use capstan_domain::task::{Command, TaskDecider};
use capstan_envelope::{StreamId, Workspace};
use serde::de::DeserializeOwned;

use crate::App;
use crate::body;
use crate::call::{CallContext, CommandKey, fresh_id};
use crate::known;
use crate::problem::Problem;
use crate::receipt::Reply;

pub(crate) use archive_all_outputs::ArchivedOutputs;
pub(crate) use schedules::schedule_stream;
pub(crate) use task_outputs::unnamed_output;

/// The wire names of the commands callers may send.
pub const NAMES: &[&str] = AnyCommand::NAMES;

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

/// Executes the command of this wire name; the body is JSON, as it came.
pub async fn execute(
    app: &App,
    workspace: &str,
    wire_name: &str,
    json: &[u8],
    call: &CallContext,
) -> Result<Reply, Problem> {
    if wire_name == CreateWorkspace::NAME {
        // The one command whose workspace need not exist: it makes the one named.
        let body = named(body::parse::<CreateWorkspace>(json)?, workspace)?;
        return create_workspace::execute(app, body, call).await;
    }
    let workspace = &app.workspace(workspace).await?;
    match wire_name {
        AcceptAgentCommand::NAME => run::<AcceptAgentCommand>(app, workspace, json, call).await,
        SubmitTaskInput::NAME => run::<SubmitTaskInput>(app, workspace, json, call).await,
        EnqueueRunInput::NAME => run::<EnqueueRunInput>(app, workspace, json, call).await,
        CancelTask::NAME => run::<CancelTask>(app, workspace, json, call).await,
        CancelRun::NAME => run::<CancelRun>(app, workspace, json, call).await,
        ConfigureClass::NAME => run::<ConfigureClass>(app, workspace, json, call).await,
        PublishSourceEvent::NAME => run::<PublishSourceEvent>(app, workspace, json, call).await,
        RetryTask::NAME => run::<RetryTask>(app, workspace, json, call).await,
        ArchiveTask::NAME => run::<ArchiveTask>(app, workspace, json, call).await,
        UnarchiveTask::NAME => run::<UnarchiveTask>(app, workspace, json, call).await,
        UpdateTask::NAME => run::<UpdateTask>(app, workspace, json, call).await,
        CreateAgent::NAME => run::<CreateAgent>(app, workspace, json, call).await,
        CreateSchedule::NAME => run::<CreateSchedule>(app, workspace, json, call).await,
        UpdateSchedule::NAME => run::<UpdateSchedule>(app, workspace, json, call).await,
        DeleteSchedule::NAME => run::<DeleteSchedule>(app, workspace, json, call).await,
        PauseSchedule::NAME => run::<PauseSchedule>(app, workspace, json, call).await,
        ResumeSchedule::NAME => run::<ResumeSchedule>(app, workspace, json, call).await,
        TriggerSchedule::NAME => run::<TriggerSchedule>(app, workspace, json, call).await,
        UpdateAgent::NAME => run::<UpdateAgent>(app, workspace, json, call).await,
        DeleteAgent::NAME => run::<DeleteAgent>(app, workspace, json, call).await,
        UpdateWorkspace::NAME => run::<UpdateWorkspace>(app, workspace, json, call).await,
        UpsertChannelBinding::NAME => run::<UpsertChannelBinding>(app, workspace, json, call).await,
        DeleteChannelBinding::NAME => run::<DeleteChannelBinding>(app, workspace, json, call).await,
        IssueToken::NAME => run::<IssueToken>(app, workspace, json, call).await,
        RevokeToken::NAME => run::<RevokeToken>(app, workspace, json, call).await,
        CreateTaskOutput::NAME => run::<CreateTaskOutput>(app, workspace, json, call).await,
        AppendTaskOutputRows::NAME => run::<AppendTaskOutputRows>(app, workspace, json, call).await,
        FinalizeTaskOutput::NAME => run::<FinalizeTaskOutput>(app, workspace, json, call).await,
        ArchiveOutput::NAME => run::<ArchiveOutput>(app, workspace, json, call).await,
        ArchiveAllOutputs::NAME => run::<ArchiveAllOutputs>(app, workspace, json, call).await,
        _ => Err(Problem::not_found("command")),
    }
}

async fn run<B: Execute>(
    app: &App,
    workspace: &Workspace,
    json: &[u8],
    call: &CallContext,
) -> Result<Reply, Problem> {
    body::parse::<B>(json)?.execute(app, workspace, call).await
}

/// Opens a workspace.
pub(crate) async fn create_workspace(
    app: &App,
    body: CreateWorkspace,
    call: &CallContext,
) -> Result<Reply, Problem> {
    create_workspace::execute(app, body, call).await
}

fn named(mut body: CreateWorkspace, workspace: &str) -> Result<CreateWorkspace, Problem> {
    if body.workspace.is_empty() {
        workspace.clone_into(&mut body.workspace);
    }
    if body.workspace == workspace {
        Ok(body)
    } else {
        Err(Problem::invalid_field("/workspace", "the subject and the body name different workspaces"))
    }
}

/// The stream of a task.
pub(crate) fn task_stream(workspace: &Workspace, task_id: TaskId) -> Result<StreamId, Problem> {
    known::stream(workspace, "task", &task_id.to_string())
}

/// The id a command must name when no path does.
fn required<T>(id: Option<T>, pointer: &str) -> Result<T, Problem> {
    id.ok_or_else(|| {
        Problem::invalid_field(pointer, format!("{} is required", pointer.trim_start_matches('/')))
    })
}

/// The agent a command names; the command then names it by its id, so that it is the same however it is named.
async fn agent_named(
    app: &App,
    workspace: &Workspace,
    named: &mut Option<String>,
) -> Result<AgentId, Problem> {
    let id = app.agent_id(workspace, &required(named.take(), "/agent_id")?).await?;
    *named = Some(id.to_string());
    Ok(id)
}

/// The id of an input: the same for every repeat of a keyed command.
fn input_id(task_id: TaskId, key: Option<&CommandKey>, call: &CallContext) -> InputId {
    key.map_or_else(|| InputId(fresh_id(call.received_at)), |key| InputId::of_key(task_id, &key.text()))
}

/// Executes a command whose body says all there is to know about it besides the task.
async fn execute_on_task<B: CommandBody>(
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
async fn task_reply(
    app: &App,
    workspace: &Workspace,
    task_id: TaskId,
    context: &CommandContext,
    decided: &Decided<TaskDecider>,
) -> Reply {
    let task = app.shown_task(workspace, task_id, decided.position).await;
    Reply::new(axum::http::StatusCode::ACCEPTED, context, decided).showing_object("task", task)
}
