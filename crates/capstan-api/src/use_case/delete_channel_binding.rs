//! Releases a channel.

use axum::http::StatusCode;
use capstan_contract::command::{CommandBody, DeleteChannelBinding};
use capstan_domain::channel::{Command, Delete};
use capstan_envelope::Workspace;

use super::execute::Execute;
use super::resolve;
use super::upsert_channel_binding::address;
use crate::App;
use crate::call::CallContext;
use crate::problem::Problem;
use crate::receipt::Reply;

impl Execute for DeleteChannelBinding {
    async fn execute(
        mut self,
        app: &App,
        workspace: &Workspace,
        call: &CallContext,
    ) -> Result<Reply, Problem> {
        let key = call.key(self.idempotency_key())?;
        let address = address(&mut self.channel_type, &mut self.address)?;
        let stream = resolve::channel_stream(&address)?;
        let context = call.command_of_tenant(workspace, &stream, key.as_ref(), &self);
        let command = Command::Delete(Delete { workspace: workspace.to_string(), at: call.received_at });
        let decided = app.dispatch.channels.execute(&stream, &command, &context).await?;
        Ok(Reply::new(StatusCode::OK, &context, &decided))
    }
}
