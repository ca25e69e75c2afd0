//! The commands of a channel binding: upsert and delete.

use capstan_domain::Requested;
use capstan_domain::channel::{Address, Command, DeleteChannelBinding, UpsertChannelBinding};
use capstan_domain::id::BindingId;
use capstan_envelope::Workspace;

use super::execute::{Execute, decide_and_show};
use super::{resolve, streams};
use crate::App;
use crate::call::CallContext;
use crate::problem::Problem;
use crate::receipt::{Reply, Success};

impl Execute for UpsertChannelBinding {
    async fn execute(
        mut self,
        app: &App,
        workspace: &Workspace,
        call: &CallContext,
    ) -> Result<Reply, Problem> {
        let address = address(&mut self.channel_type, &mut self.address)?;
        let agent_id = resolve::agent_filter(app, workspace, self.agent_id.take()).await?;
        self.agent_id = agent_id.map(|id| id.to_string());
        let stream = streams::channel(&address)?;
        let context = call.command_of_tenant(workspace, &stream, call.key().as_ref(), &self);
        let binding_id = BindingId::of_channel(workspace.as_str(), address.channel_id());
        let command = Command::Upsert { workspace: workspace.to_string(), agent_id, binding: Box::new(self) };
        let shown = app.reads.channel(workspace, binding_id);
        decide_and_show(app, &app.dispatch.channels, &stream, command, &context, Success::Done, shown).await
    }
}

impl Execute for DeleteChannelBinding {
    async fn execute(
        mut self,
        app: &App,
        workspace: &Workspace,
        call: &CallContext,
    ) -> Result<Reply, Problem> {
        let address = address(&mut self.channel_type, &mut self.address)?;
        let stream = streams::channel(&address)?;
        let context = call.command_of_tenant(workspace, &stream, call.key().as_ref(), &self);
        let command = Requested::new(Command::Delete { workspace: workspace.to_string() }, call.received_at);
        let decided = app.dispatch.channels.execute(&stream, &command, &context).await?;
        Ok(Reply::new(Success::Done, &context, &decided))
    }
}

/// The address a command names. The body then holds its normal form, so that a repeat in another spelling is a repeat.
fn address(channel_type: &mut String, address: &mut String) -> Result<Address, Problem> {
    let normal = Address::new(channel_type, address).map_err(Problem::invalid)?;
    normal.channel_type().clone_into(channel_type);
    normal.address().clone_into(address);
    Ok(normal)
}
