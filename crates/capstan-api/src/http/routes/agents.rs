//! The agents of a workspace.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use capstan_domain::agent::AgentConfig;
use serde_json::{Map, Value};

use crate::App;
use crate::http::parameters::Parameters;
use crate::problem::Problem;
use crate::use_case::agent::{self, Stats};
use crate::use_case::read::{List, Object, Positioned};
use crate::use_case::resolve;

pub(super) async fn list(
    State(app): State<Arc<App>>,
    Path(workspace): Path<String>,
    mut parameters: Parameters,
) -> Result<List, Problem> {
    let page = parameters.page();
    parameters.finish()?;
    let workspace = resolve::workspace(&app, &workspace).await?;
    app.reads.agents(&workspace, &page).await
}

/// By id, else by exactly this key, else by what is spelt alike.
pub(super) async fn one(
    State(app): State<Arc<App>>,
    Path((workspace, named)): Path<(String, String)>,
    parameters: Parameters,
) -> Result<Object, Problem> {
    parameters.finish()?;
    let workspace = resolve::workspace(&app, &workspace).await?;
    resolve::read_agent(&app, &workspace, &named).await
}

/// The configuration of an agent with this key that is given none.
pub(super) async fn defaults(
    State(app): State<Arc<App>>,
    Path(workspace): Path<String>,
    mut parameters: Parameters,
) -> Result<Json<Map<String, Value>>, Problem> {
    let agent_key = parameters.text("agent_key").unwrap_or_default();
    parameters.finish()?;
    resolve::workspace(&app, &workspace).await?;
    Ok(Json(AgentConfig::default_for(&agent_key)))
}

pub(super) async fn stats(
    State(app): State<Arc<App>>,
    Path((workspace, named)): Path<(String, String)>,
    parameters: Parameters,
) -> Result<Positioned<Stats>, Problem> {
    parameters.finish()?;
    let workspace = resolve::workspace(&app, &workspace).await?;
    agent::stats(&app, &workspace, &named).await
}
