//! The command of an execution class: configure.

use capstan_contract::command::ConfigureClass;
use capstan_domain::class::{Command, Configure};
use capstan_envelope::Workspace;

use super::execute::Execute;
use super::{streams, wait};
use crate::App;
use crate::call::CallContext;
use crate::problem::Problem;
use crate::receipt::{Reply, Success};

impl Execute for ConfigureClass {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let key = call.key();
        let instance_key = self.instance_key.trim();
        let stream = streams::class(workspace, instance_key)
            .map_err(|_| Problem::invalid_field("/instance_key", "is not a valid execution class key"))?;
        let context = call.command(&stream, key.as_ref(), &self);
        let command = Command::Configure(Configure {
            desired_dispatch_concurrency: self.desired_dispatch_concurrency,
            failed_attempt_threshold: self.failed_attempt_threshold,
            active: self.active,
            reset: self.reset,
            at: call.received_at,
        });
        let decided = app.dispatch.classes.execute(&stream, &command, &context).await?;
        let class = wait::shown(app, decided.position, app.reads.class(workspace, instance_key)).await;
        Ok(Reply::new(Success::Done, &context, &decided).showing_object("class", class))
    }
}
