//! Changes an agent.

use axum::http::StatusCode;
use capstan_contract::command::{CommandBody, UpdateAgent};
use capstan_domain::agent::{Command, Update};
use capstan_envelope::Workspace;

use super::execute::{Execute, agent_named};
use super::resolve;
use crate::App;
use crate::call::CallContext;
use crate::problem::Problem;
use crate::receipt::Reply;

impl Execute for UpdateAgent {
    async fn execute(
        mut self,
        app: &App,
        workspace: &Workspace,
        call: &CallContext,
    ) -> Result<Reply, Problem> {
        let key = call.key(self.idempotency_key())?;
        let agent_id = agent_named(app, workspace, &mut self.agent_id).await?;
        let stream = resolve::agent_stream(workspace, agent_id)?;
        let context = call.command(&stream, key.as_ref(), &self);
        let command = Command::Update(Box::new(Update {
            name: self.name,
            role: self.role,
            memory_scope: self.memory_scope,
            quality_score: self.quality_score,
            cost_budget_usd: self.cost_budget_usd,
            config: self.config,
            active: self.active,
            at: call.received_at,
        }));
        let decided = app.dispatch.agents.execute(&stream, &command, &context).await?;
        let agent = app.shown_agent(workspace, agent_id, decided.position).await;
        Ok(Reply::new(StatusCode::OK, &context, &decided).showing_object("agent", agent))
    }
}
