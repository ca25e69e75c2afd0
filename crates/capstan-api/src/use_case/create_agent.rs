//! Introduces an agent.

use axum::http::StatusCode;
use capstan_contract::command::{CommandBody, CreateAgent};
use capstan_domain::agent::{Command, Create};
use capstan_domain::id::AgentId;
use capstan_envelope::Workspace;

use super::execute::Execute;
use super::resolve;
use crate::App;
use crate::call::CallContext;
use crate::problem::Problem;
use crate::receipt::Reply;

impl Execute for CreateAgent {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let key = call.key(self.idempotency_key())?;
        let agent_id = AgentId::of_key(workspace.as_str(), self.agent_key.trim());
        let stream = resolve::agent_stream(workspace, agent_id)?;
        let workspace_state = app.workspace_state(workspace).await?;
        if let Some(max) = workspace_state.state.settings().and_then(|settings| settings.quotas.agents_max)
            && app.dispatch.agents.refresh(&stream).await?.state.profile.is_none()
        {
            app.admit_agent(workspace, max).await?;
        }
        let context = call.command(&stream, key.as_ref(), &self);
        let command = Command::Create(Create {
            agent_id,
            workspace: workspace.to_string(),
            agent_key: self.agent_key,
            name: self.name,
            role: self.role,
            memory_scope: self.memory_scope,
            quality_score: self.quality_score,
            cost_budget_usd: self.cost_budget_usd,
            config: self.config,
            active: self.active.unwrap_or(true),
            at: call.received_at,
        });
        let decided = app.dispatch.agents.execute(&stream, &command, &context).await?;
        let agent = app.shown_agent(workspace, agent_id, decided.position).await;
        Ok(Reply::new(StatusCode::CREATED, &context, &decided).showing_object("agent", agent))
    }
}
