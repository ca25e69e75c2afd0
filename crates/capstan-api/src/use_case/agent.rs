//! The commands of an agent, create and update, and the answer to a query for its statistics.

use capstan_contract::query::{GetAgent, GetAgentStats, GetDefaultConfig, ListAgents, Page, Wait};
use capstan_domain::agent::AgentConfig;
use capstan_domain::agent::{Command, CreateAgent, UpdateAgent};
use capstan_domain::id::AgentId;
use capstan_envelope::Workspace;
use capstan_projections::AgentFilter;
use capstan_projections::AgentStats;
use schemars::JsonSchema;
use serde::Serialize;

use super::answer::Answer;
use super::execute::{Execute, decide_and_show};
use super::{quota, resolve, streams};
use crate::App;
use crate::answered::Answered;
use crate::call::CallContext;
use crate::problem::Problem;
use crate::receipt::{Reply, Success};

impl Execute for CreateAgent {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let agent_id = AgentId::from_key(workspace.as_str(), self.agent_key.trim());
        let stream = streams::agent(workspace, agent_id)?;
        let workspace_state = resolve::workspace_state(app, workspace).await?;
        if let Some(max) = workspace_state.state.settings().and_then(|settings| settings.quotas.agents_max)
            && app.dispatch.agents.refresh(&stream).await?.state.profile.is_none()
        {
            quota::admit_agent(app, workspace, max).await?;
        }
        let context = call.command(&stream, call.key().as_ref(), &self);
        let command = Command::Create { workspace: workspace.to_string(), agent: Box::new(self) };
        let (agents, shown) = (&app.dispatch.agents, call.shows(app.reads.one(workspace, &agent_id)));
        decide_and_show(app, agents, &stream, command, &context, Success::Created, shown).await
    }
}

impl Execute for UpdateAgent {
    async fn execute(
        mut self,
        app: &App,
        workspace: &Workspace,
        call: &CallContext,
    ) -> Result<Reply, Problem> {
        let agent_id = named_id(app, workspace, &mut self.agent_id).await?;
        let stream = streams::agent(workspace, agent_id)?;
        let context = call.command(&stream, call.key().as_ref(), &self);
        let (command, shown) =
            (Command::Update(Box::new(self)), call.shows(app.reads.one(workspace, &agent_id)));
        decide_and_show(app, &app.dispatch.agents, &stream, command, &context, Success::Done, shown).await
    }
}

/// The agent a command names. The body then holds its id, so that a repeat that names it otherwise is a repeat.
pub(super) async fn named_id(
    app: &App,
    workspace: &Workspace,
    named: &mut String,
) -> Result<AgentId, Problem> {
    let id = resolve::agent_id(app, workspace, named).await?;
    *named = id.to_string();
    Ok(id)
}

/// The statistics of an agent.
#[serde_with::skip_serializing_none]
#[derive(Serialize, JsonSchema)]
pub(crate) struct Stats {
    agent_id: AgentId,
    #[serde(flatten)]
    figures: AgentStats,
    quality_score: Option<f64>,
}

impl Answer for ListAgents {
    async fn answer(self, app: &App, workspace: &Workspace, page: Page) -> Result<Answered, Problem> {
        Ok(app.reads.list(workspace, &AgentFilter, &page).await?.into())
    }
}

impl Answer for GetAgent {
    async fn answer(self, app: &App, workspace: &Workspace, _: Wait) -> Result<Answered, Problem> {
        resolve::read_agent(app, workspace, &self.agent_id).await
    }
}

impl Answer for GetDefaultConfig {
    async fn answer(self, _: &App, _: &Workspace, _: Wait) -> Result<Answered, Problem> {
        let agent_key = self.agent_key.unwrap_or_default();
        Ok(Answered::json(&AgentConfig::default_for(&agent_key)))
    }
}

impl Answer for GetAgentStats {
    async fn answer(self, app: &App, workspace: &Workspace, _: Wait) -> Result<Answered, Problem> {
        let agent = resolve::agent(app, workspace, &self.agent_id).await?;
        let (figures, position) = app.reads.models().agent_stats(workspace.as_str(), agent.agent_id).await?;
        let stats = Stats { agent_id: agent.agent_id, figures, quality_score: agent.quality_score };
        Ok(Answered::json(&stats).at(position))
    }
}
