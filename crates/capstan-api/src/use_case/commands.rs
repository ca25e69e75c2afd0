//! The commands of callers: from a wire name and a JSON body to a reply.

use capstan_contract::command::{
    AcceptAgentCommand, AnyCommand, AppendTaskOutputRows, ArchiveAllOutputs, ArchiveOutput, ArchiveTask,
    CancelRun, CancelTask, CommandBody, ConfigureClass, CreateAgent, CreateSchedule, CreateTaskOutput,
    CreateWorkspace, DeleteAgent, DeleteChannelBinding, DeleteSchedule, EnqueueRunInput, FinalizeTaskOutput,
    IssueToken, PauseSchedule, PublishSourceEvent, ResumeSchedule, RetryTask, RevokeToken, SubmitTaskInput,
    TriggerSchedule, UnarchiveTask, UpdateAgent, UpdateSchedule, UpdateTask, UpdateWorkspace,
    UpsertChannelBinding,
};
use capstan_envelope::Workspace;

use super::execute::Execute;
use super::{body, resolve, workspace as workspaces};
use crate::App;
use crate::call::CallContext;
use crate::problem::Problem;
use crate::receipt::Reply;

/// The wire names of the commands callers may send.
pub const NAMES: &[&str] = AnyCommand::NAMES;

/// Executes the command of this wire name; the body is JSON, as it came.
pub async fn execute(
    app: &App,
    workspace: &str,
    wire_name: &str,
    json: &[u8],
    call: &CallContext,
) -> Result<Reply, Problem> {
    if wire_name == CreateWorkspace::NAME {
        // The one command whose workspace need not exist.
        let body = named(body::parse::<CreateWorkspace>(json)?, workspace)?;
        return workspaces::create(app, body, call).await;
    }
    let workspace = &resolve::workspace(app, workspace).await?;
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
