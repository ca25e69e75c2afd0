//! Binds a channel to a workspace, or replaces what its binding says.

use axum::http::StatusCode;
use capstan_contract::command::{CommandBody, UpsertChannelBinding};
use capstan_domain::channel::{Address, Command, Upsert};
use capstan_domain::id::BindingId;
use capstan_domain::{Fault, Faults};
use capstan_envelope::Workspace;

use super::Execute;
use crate::App;
use crate::call::CallContext;
use crate::known;
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
        let address = address(self.channel_type.as_deref(), self.address.as_deref())?;
        let agent_id = match &self.agent_id {
            Some(named) => Some(app.agent(workspace, named).await?.agent_id),
            None => None,
        };
        // However it is spelt, it is the same command.
        self.channel_type = Some(address.channel_type().to_owned());
        self.address = Some(address.address().to_owned());
        self.agent_id = agent_id.map(|id| id.to_string());
        let stream = known::channel_stream(&address)?;
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
        let decided = app.channels.execute(&stream, &command, &context).await?;
        let channel = app.shown_channel(workspace, binding_id, decided.position).await;
        Ok(Reply::new(StatusCode::OK, &context, &decided).showing_object("channel", channel))
    }
}

/// The address a command names, in one spelling.
pub(super) fn address(channel_type: Option<&str>, address: Option<&str>) -> Result<Address, Problem> {
    let mut faults = Faults::default();
    faults.require(channel_type.is_some(), "/channel_type", "channel_type is required");
    faults.require(address.is_some(), "/address", "address is required");
    faults.into_result().map_err(Problem::invalid)?;
    Address::new(channel_type.unwrap_or_default(), address.unwrap_or_default())
        .map_err(|faults: Vec<Fault>| Problem::invalid(faults))
}
