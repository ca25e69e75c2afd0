//! The commands of a workspace. The body may repeat a field the path names, but not contradict it.

use std::sync::Arc;

use axum::extract::State;
use capstan_contract::command::{
    AcceptAgentCommand, AppendTaskOutputRows, ArchiveAllOutputs, ArchiveOutput, ArchiveTask, CancelRun,
    CancelTask, CreateAgent, CreateSchedule, CreateTaskOutput, DeleteChannelBinding, DeleteSchedule,
    EnqueueRunInput, FinalizeTaskOutput, IssueToken, PauseSchedule, PublishSourceEvent, ResumeSchedule,
    RetryTask, RevokeToken, SubmitTaskInput, TriggerSchedule, UnarchiveTask, UpdateAgent, UpdateSchedule,
    UpdateTask, UpdateWorkspace, UpsertChannelBinding,
};

use crate::App;
use crate::http::body;
use crate::http::command_request::CommandRequest;
use crate::problem::Problem;
use crate::receipt::Reply;
use crate::use_case::execute::Execute;
use crate::use_case::resolve;

/// A command that is read from a path and a body.
pub(super) trait FromPath: Execute {
    /// Parses the body and sets the fields the path names.
    fn read(request: &mut CommandRequest) -> Result<Self, Problem>;
}

/// Lists for each command whether its body may be empty (`body_if_any`), and which parts of the path are fields of it.
macro_rules! from_path {
    ($($body:ident: $read:ident $(, $field:ident is $part:literal)*;)*) => {$(
        impl FromPath for $body {
            fn read(request: &mut CommandRequest) -> Result<Self, Problem> {
                $(let $field = request.path_id($part)?;)*
                let body: Self = request.$read()?;
                $(let $field = body::from_path(body.$field, $field, concat!("/", stringify!($field)))?;)*
                Ok(Self { $($field,)* ..body })
            }
        }
    )*};
}

from_path! {
    UpdateWorkspace: body;
    IssueToken: body;
    RevokeToken: body_if_any, token_id is "token";
    CreateAgent: body;
    UpdateAgent: body, agent_id is "agent";
    UpsertChannelBinding: body_if_any, channel_type is "type", address is "address";
    DeleteChannelBinding: body_if_any, channel_type is "type", address is "address";
    CreateSchedule: body;
    UpdateSchedule: body_if_any, schedule_id is "schedule";
    DeleteSchedule: body_if_any, schedule_id is "schedule";
    PauseSchedule: body_if_any, schedule_id is "schedule";
    ResumeSchedule: body_if_any, schedule_id is "schedule";
    TriggerSchedule: body_if_any, schedule_id is "schedule";
    AcceptAgentCommand: body;
    SubmitTaskInput: body, task_id is "task";
    CancelTask: body_if_any, task_id is "task";
    UpdateTask: body_if_any, task_id is "task";
    RetryTask: body_if_any, task_id is "task";
    ArchiveTask: body_if_any, task_id is "task";
    UnarchiveTask: body_if_any, task_id is "task";
    PublishSourceEvent: body;
    EnqueueRunInput: body, run_id is "run";
    CancelRun: body_if_any, run_id is "run";
    CreateTaskOutput: body, task_id is "task";
    AppendTaskOutputRows: body, task_id is "task", output_id is "output";
    FinalizeTaskOutput: body, task_id is "task", output_id is "output";
    ArchiveOutput: body_if_any, output_id is "output";
    ArchiveAllOutputs: body_if_any;
}

/// Executes the command.
pub(super) async fn execute<B: FromPath>(
    State(app): State<Arc<App>>,
    mut request: CommandRequest,
) -> Result<Reply, Problem> {
    request.no_more_parameters()?;
    let workspace = resolve::workspace(&app, request.part("workspace")).await?;
    B::read(&mut request)?.execute(&app, &workspace, &request.call).await
}
