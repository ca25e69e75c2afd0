//! The command of an execution class: configure.

use capstan_contract::query::{GetClass, ListClasses, Page, Wait};
use capstan_domain::class::{Command, ConfigureClass, Rejection};
use capstan_envelope::Workspace;
use capstan_projections::{ClassFilter, InstanceKey};

use super::answer::Answer;
use super::execute::{Execute, decide_and_show};
use super::streams;
use crate::App;
use crate::answered::Answered;
use crate::call::CallContext;
use crate::problem::Problem;
use crate::receipt::{Reply, Success};

impl Execute for ConfigureClass {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        self.check().map_err(Rejection::Invalid)?;
        let instance_key = self.instance_key.trim().to_owned();
        let stream = streams::class(workspace, &instance_key)?;
        let context = call.command(&stream, call.key().as_ref(), &self);
        let command = Command::Configure(self);
        let key = InstanceKey(&instance_key);
        let shown = call.shows(app.reads.one(workspace, &key));
        decide_and_show(app, &app.dispatch.classes, &stream, command, &context, Success::Done, shown).await
    }
}

impl Answer for ListClasses {
    async fn answer(self, app: &App, workspace: &Workspace, page: Page) -> Result<Answered, Problem> {
        Ok(app.reads.list(workspace, &ClassFilter, &page).await?.into())
    }
}

impl Answer for GetClass {
    async fn answer(self, app: &App, workspace: &Workspace, _: Wait) -> Result<Answered, Problem> {
        app.reads.get(workspace, &InstanceKey(&self.instance_key), "class").await
    }
}
