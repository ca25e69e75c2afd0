//! The commands of callers: from a wire name and a JSON body to a reply.

use capstan_contract::command::{
    AcceptAgentCommand, AppendTaskOutputRows, ArchiveAllOutputs, ArchiveOutput, ArchiveTask, CancelRun,
    CancelTask, Conditions, ConfigureClass, CreateAgent, CreateSchedule, CreateTaskOutput, CreateWorkspace,
    DeleteAgent, DeleteChannelBinding, DeleteSchedule, EnqueueRunInput, FinalizeTaskOutput, IssueToken,
    PauseSchedule, PublishSourceEvent, ResumeSchedule, RetryTask, RevokeToken, SubmitTaskInput,
    TriggerSchedule, UnarchiveTask, UpdateAgent, UpdateSchedule, UpdateTask, UpdateWorkspace,
    UpsertChannelBinding,
};
use capstan_contract::for_each_command;

use super::execute::Execute;
use super::resolve;
use crate::App;
use crate::call::CallContext;
use crate::problem::Problem;
use crate::receipt::Reply;
use crate::request::{self, Beside, Outer, Source};

macro_rules! execute_by_name {
    ($($body:ident = $name:literal;)*) => {
        /// Executes the command of this wire name; the body is JSON, as received.
        pub async fn execute(
            app: &App,
            workspace: &str,
            wire_name: &str,
            json: &[u8],
            call: &CallContext,
        ) -> Result<Reply, Problem> {
            execute_beside::<Conditions>(app, workspace, wire_name, json, call).await
        }

        /// Executes the command of this wire name, with other fields beside its own.
        pub(super) async fn execute_beside<B: Beside + Into<Conditions> + 'static>(
            app: &App,
            workspace: &str,
            wire_name: &str,
            json: &[u8],
            call: &CallContext,
        ) -> Result<Reply, Problem> {
            match wire_name {
                $($name => run::<$body, B>(app, workspace, json, call).await,)*
                _ => Err(Problem::not_found("command")),
            }
        }
    };
}

for_each_command!(execute_by_name);

async fn run<C: Execute, B: Beside + Into<Conditions> + 'static>(
    app: &App,
    workspace: &str,
    json: &[u8],
    call: &CallContext,
) -> Result<Reply, Problem> {
    if C::CREATES_WORKSPACE {
        let outer = [Outer { name: "workspace".into(), text: workspace.into(), source: Source::Path }];
        let (command, beside) = request::read::<C, B>(&outer, json)?;
        let workspace = resolve::new_workspace(workspace)?;
        return command.execute(app, &workspace, &call.with(beside.into())?).await;
    }
    let workspace = resolve::workspace(app, workspace).await?;
    let (command, beside) = request::read::<C, B>(&[], json)?;
    command.execute(app, &workspace, &call.with(beside.into())?).await
}
