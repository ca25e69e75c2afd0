//! Binds a channel to a workspace, or replaces what its binding says.

use axum::http::StatusCode;
use capstan_contract::command::{CommandBody, UpsertChannelBinding};
use capstan_domain::Faults;
use capstan_domain::channel::{Address, Command, Upsert};
use capstan_domain::id::BindingId;
use capstan_envelope::Workspace;

use super::execute::Execute;
use super::resolve;
use crate::App;
use crate::call::CallContext;
use crate::http::parameters::refuse;
use crate::problem::Problem;
use crate::receipt::Reply;

impl Execute for UpsertChannelBinding {
    async fn execute(
        mut self,
        app: &App,
        workspace: &Workspace,
        call: &CallContext,
    ) -> Result<Reply, Problem> {
        let key = call.key(self.idempotency_key())?;
        let address = address(&mut self.channel_type, &mut self.address)?;
        let agent_id = match &self.agent_id {
            Some(named) => Some(app.agent(workspace, named).await?.agent_id),
            None => None,
        };
        self.agent_id = agent_id.map(|id| id.to_string());
        let stream = resolve::channel_stream(&address)?;
        let context = call.command_of_tenant(workspace, &stream, key.as_ref(), &self);
        let binding_id = BindingId::of_channel(workspace.as_str(), address.channel_id());
        let command = Command::Upsert(Box::new(Upsert {
            workspace: workspace.to_string(),
            address,
            agent_id,
            config: self.config,
            active: self.active.unwrap_or(true),
            at: call.received_at,
        }));
        let decided = app.dispatch.channels.execute(&stream, &command, &context).await?;
        let channel = app.shown_channel(workspace, binding_id, decided.position).await;
        Ok(Reply::new(StatusCode::OK, &context, &decided).showing_object("channel", channel))
    }
}

/// The address a command names. The command then has it in one spelling, so that it is the same however it is spelt.
pub(crate) fn address(
    channel_type: &mut Option<String>,
    address: &mut Option<String>,
) -> Result<Address, Problem> {
    let mut faults = Faults::default();
    faults.require(channel_type.is_some(), "/channel_type", "channel_type is required");
    faults.require(address.is_some(), "/address", "address is required");
    refuse(faults)?;
    let one =
        Address::new(channel_type.as_deref().unwrap_or_default(), address.as_deref().unwrap_or_default())
            .map_err(Problem::invalid)?;
    *channel_type = Some(one.channel_type().to_owned());
    *address = Some(one.address().to_owned());
    Ok(one)
}
