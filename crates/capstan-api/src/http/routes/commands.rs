//! Commands of a workspace: what the path names, the body may repeat but not contradict.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use capstan_contract::command::{
    AcceptAgentCommand, AppendTaskOutputRows, ArchiveAllOutputs, ArchiveOutput, ArchiveTask, CancelRun,
    CancelTask, CreateAgent, CreateSchedule, CreateTaskOutput, DeleteChannelBinding, DeleteSchedule,
    EnqueueRunInput, FinalizeTaskOutput, IssueToken, PauseSchedule, PublishSourceEvent, ResumeSchedule,
    RetryTask, RevokeToken, SubmitTaskInput, TriggerSchedule, UnarchiveTask, UpdateAgent, UpdateSchedule,
    UpdateTask, UpdateWorkspace, UpsertChannelBinding,
};

use crate::App;
use crate::http::body;
use crate::http::command_request::Asked;
use crate::http::parameters::path_id;
use crate::problem::Problem;
use crate::receipt::Reply;
use crate::use_case::execute::Execute;

/// A command as it came: what the path names, by the names the table gives its parts, and the rest.
pub(super) struct Given {
    parts: BTreeMap<String, String>,
    asked: Asked,
}

/// A command that can be read from a path and a body.
pub(super) trait OfPath: Execute {
    /// Reads the body and sets in it what the path names.
    fn read(given: &mut Given) -> Result<Self, Problem>;
}

/// How each body is read (`body_if_any` where it may be left out), and which parts of the path are fields of it.
macro_rules! of_path {
    ($($body:ident: $read:ident $(, $field:ident is $part:literal)*;)*) => {$(
        impl OfPath for $body {
            fn read(given: &mut Given) -> Result<Self, Problem> {
                $(let $field = path_id(&given.parts[$part], $part)?;)*
                let body: Self = given.asked.$read()?;
                $(let $field = body::of_path(body.$field, $field, concat!("/", stringify!($field)))?;)*
                Ok(Self { $($field,)* ..body })
            }
        }
    )*};
}

of_path! {
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
pub(super) async fn give<B: OfPath>(
    State(app): State<Arc<App>>,
    Path(parts): Path<BTreeMap<String, String>>,
    mut asked: Asked,
) -> Result<Reply, Problem> {
    asked.no_more_parameters()?;
    let workspace = app.workspace(&parts["workspace"]).await?;
    let mut given = Given { parts, asked };
    B::read(&mut given)?.execute(&app, &workspace, &given.asked.call).await
}
