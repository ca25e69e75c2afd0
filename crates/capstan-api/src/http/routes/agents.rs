//! The agents of a workspace.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use capstan_contract::command::DeleteAgent;
use capstan_domain::agent::AgentConfig;
use capstan_domain::id::AgentId;
use capstan_projections::AgentStats;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::App;
use crate::http::body;
use crate::http::command_request::Asked;
use crate::http::conventions::{POSITION, header_text};
use crate::http::parameters::Parameters;
use crate::http::responses::{List, Object, page};
use crate::problem::Problem;
use crate::receipt::Reply;
use crate::use_case::execute::Execute;

pub(super) async fn list(
    State(app): State<Arc<App>>,
    Path(workspace): Path<String>,
    mut parameters: Parameters,
) -> Result<List, Problem> {
    let page = page(&mut parameters);
    parameters.finish()?;
    let workspace = app.workspace(&workspace).await?;
    app.reads.agents(&workspace, &page).await
}

/// By id, else by exactly this key, else by what is spelt alike.
pub(super) async fn one(
    State(app): State<Arc<App>>,
    Path((workspace, named)): Path<(String, String)>,
    parameters: Parameters,
) -> Result<Object, Problem> {
    parameters.finish()?;
    let workspace = app.workspace(&workspace).await?;
    app.read_agent(&workspace, &named).await
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Path((workspace, named)): Path<(String, String)>,
    mut asked: Asked,
) -> Result<Reply, Problem> {
    let cancel_open = asked.parameters.flag("cancel_open").unwrap_or(false);
    let workspace = app.workspace(&workspace).await?;
    let mut body: DeleteAgent = asked.body_if_any()?;
    body.agent_id = body::of_path(body.agent_id, named, "/agent_id")?;
    body.cancel_open |= cancel_open;
    body.execute(&app, &workspace, &asked.call).await
}

/// The configuration of an agent with this key that is given none.
pub(super) async fn defaults(
    State(app): State<Arc<App>>,
    Path(workspace): Path<String>,
    mut parameters: Parameters,
) -> Result<Json<Map<String, Value>>, Problem> {
    let agent_key = parameters.text("agent_key").unwrap_or_default();
    parameters.finish()?;
    app.workspace(&workspace).await?;
    Ok(Json(AgentConfig::default_for(&agent_key)))
}

/// An agent's figures.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Stats {
    agent_id: AgentId,
    #[serde(flatten)]
    figures: AgentStats,
    #[serde(skip_serializing_if = "Option::is_none")]
    quality_score: Option<f64>,
}

pub(super) async fn stats(
    State(app): State<Arc<App>>,
    Path((workspace, named)): Path<(String, String)>,
    parameters: Parameters,
) -> Result<impl IntoResponse, Problem> {
    parameters.finish()?;
    let workspace = app.workspace(&workspace).await?;
    let agent = app.agent(&workspace, &named).await?;
    let (figures, position) = app.reads.agent_stats(&workspace, agent.agent_id).await?;
    let stats = Stats { agent_id: agent.agent_id, figures, quality_score: agent.quality_score };
    Ok(([(POSITION, header_text(&position))], Json(stats)))
}
