//! The commands of a workspace: create and update.

use capstan_contract::query::{GetWorkspace, Wait};
use capstan_domain::workspace::{Command, CreateWorkspace, UpdateWorkspace};
use capstan_envelope::Workspace;
use capstan_projections::ThisWorkspace;

use super::answer::Answer;
use super::execute::{Execute, decide_and_show};
use super::streams;
use crate::App;
use crate::answered::Answered;
use crate::call::CallContext;
use crate::problem::Problem;
use crate::receipt::{Reply, Success};

impl Execute for CreateWorkspace {
    const NEW_WORKSPACE: Option<fn(&Self) -> &str> = Some(|create| &create.workspace);

    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let stream = streams::workspace(workspace)?;
        let context = call.command(&stream, call.key().as_ref(), &self);
        let (command, shown) = (Command::Create(self), call.shows(app.reads.one(workspace, &ThisWorkspace)));
        let workspaces = &app.dispatch.workspaces;
        decide_and_show(app, workspaces, &stream, command, &context, Success::Created, shown).await
    }
}

impl Execute for UpdateWorkspace {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let stream = streams::workspace(workspace)?;
        let context = call.command(&stream, call.key().as_ref(), &self);
        let command = Command::Update { workspace: workspace.to_string(), update: Box::new(self) };
        let shown = call.shows(app.reads.one(workspace, &ThisWorkspace));
        let workspaces = &app.dispatch.workspaces;
        decide_and_show(app, workspaces, &stream, command, &context, Success::Done, shown).await
    }
}

impl Answer for GetWorkspace {
    async fn answer(self, app: &App, workspace: &Workspace, _: Wait) -> Result<Answered, Problem> {
        app.reads.get(workspace, &ThisWorkspace, "workspace").await
    }
}
