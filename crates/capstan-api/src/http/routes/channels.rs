//! The channels a workspace has bound.

use std::sync::Arc;

use axum::extract::{Path, State};
use capstan_domain::channel::Address;
use capstan_domain::id::BindingId;
use capstan_projections::{BindingFilter, BindingsOf};

use crate::App;
use crate::http::parameters::Parameters;
use crate::problem::Problem;
use crate::use_case::read::{List, Object};
use crate::use_case::resolve;

/// All of the workspace, those of one agent, or those that name none.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Path(workspace): Path<String>,
    mut parameters: Parameters,
) -> Result<List, Problem> {
    let page = parameters.page();
    let agent = parameters.text("agent_id");
    let mut filter = BindingFilter {
        of: BindingsOf::All,
        channel_type: parameters.text("channel_type"),
        active: parameters.flag("active"),
    };
    let without_agent = parameters.flag("without_agent").unwrap_or(false);
    if agent.is_some() && without_agent {
        parameters.fault("without_agent", "cannot be given together with agent_id");
    }
    parameters.finish()?;
    let workspace = resolve::workspace(&app, &workspace).await?;
    filter.of = match resolve::agent_filter(&app, &workspace, agent).await? {
        Some(id) => BindingsOf::Agent(id),
        None if without_agent => BindingsOf::Workspace,
        None => BindingsOf::All,
    };
    app.reads.channels(&workspace, &filter, &page).await
}

pub(super) async fn one(
    State(app): State<Arc<App>>,
    Path((workspace, channel_type, address)): Path<(String, String, String)>,
    parameters: Parameters,
) -> Result<Object, Problem> {
    parameters.finish()?;
    let workspace = resolve::workspace(&app, &workspace).await?;
    let missing = || Problem::not_found("channel binding");
    let address = Address::new(&channel_type, &address).map_err(|_| missing())?;
    let id = BindingId::of_channel(workspace.as_str(), address.channel_id());
    app.reads.channel(&workspace, id).await?.ok_or_else(missing)
}
