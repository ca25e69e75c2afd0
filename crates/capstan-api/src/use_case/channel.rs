//! The commands of a channel binding: upsert and delete.

use capstan_contract::query::{GetChannelBinding, ListChannelBindings, Page, Wait};
use capstan_domain::Requested;
use capstan_domain::channel::{Address, Command, DeleteChannelBinding, UpsertChannelBinding};
use capstan_domain::id::BindingId;
use capstan_envelope::Workspace;
use capstan_projections::{BindingFilter, BindingsOf};

use super::answer::Answer;
use super::execute::{Execute, decide_and_show};
use super::{resolve, streams};
use crate::App;
use crate::answered::Answered;
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
        let binding_id = BindingId::for_channel(workspace.as_str(), address.channel_id());
        let command = Command::Upsert { workspace: workspace.to_string(), agent_id, binding: Box::new(self) };
        let shown = call.shows(app.reads.one(workspace, &binding_id));
        let channels = &app.dispatch.channels;
        let mut reply =
            decide_and_show(app, channels, &stream, command, &context, Success::Done, shown).await?;
        reply.receipt.id = Some(binding_id.to_string());
        Ok(reply)
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
        let mut reply = Reply::new(Success::Done, &stream, &context, &decided);
        let binding_id = BindingId::for_channel(workspace.as_str(), address.channel_id());
        reply.receipt.id = Some(binding_id.to_string());
        Ok(reply)
    }
}

/// The address a command names. The body then holds its normal form, so that a repeat in another spelling is a repeat.
fn address(channel_type: &mut String, address: &mut String) -> Result<Address, Problem> {
    let normal = Address::new(channel_type, address).map_err(Problem::invalid)?;
    normal.channel_type().clone_into(channel_type);
    normal.address().clone_into(address);
    Ok(normal)
}

impl Answer for ListChannelBindings {
    async fn answer(self, app: &App, workspace: &Workspace, page: Page) -> Result<Answered, Problem> {
        if self.agent_id.is_some() && self.without_agent {
            return Err(Problem::invalid_field("/without_agent", "cannot be given together with agent_id"));
        }
        let of = match resolve::agent_filter(app, workspace, self.agent_id).await? {
            Some(id) => BindingsOf::Agent(id),
            None if self.without_agent => BindingsOf::Workspace,
            None => BindingsOf::All,
        };
        let filter = BindingFilter { of, channel_type: self.channel_type, active: self.active };
        Ok(app.reads.list(workspace, &filter, &page).await?.into())
    }
}

impl Answer for GetChannelBinding {
    async fn answer(self, app: &App, workspace: &Workspace, _: Wait) -> Result<Answered, Problem> {
        const WHAT: &str = "channel binding";
        let address =
            Address::new(&self.channel_type, &self.address).map_err(|_| Problem::not_found(WHAT))?;
        let id = BindingId::for_channel(workspace.as_str(), address.channel_id());
        app.reads.get(workspace, &id, WHAT).await
    }
}
