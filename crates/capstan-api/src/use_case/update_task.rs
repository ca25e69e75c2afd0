//! Changes something about a task.

use axum::http::StatusCode;
use capstan_contract::command::UpdateTask;
use capstan_domain::task::Command;
use capstan_domain::task::command::Update;
use capstan_envelope::Workspace;

use super::execute::{Execute, execute_on_task, required};
use crate::App;
use crate::call::CallContext;
use crate::problem::Problem;
use crate::receipt::Reply;

impl Execute for UpdateTask {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let task_id = required(self.task_id, "/task_id")?;
        let body = self.clone();
        let command = Command::Update(Box::new(Update {
            priority: body.priority,
            budget_usd: body.budget_usd,
            payload: body.payload_json.map(Into::into).unwrap_or_default(),
            routing: body.routing_json,
            label: body.label,
            labels: body.labels,
            deadline: body.deadline,
            message_bytes_max: app.config.message_bytes_max,
            at: call.received_at,
        }));
        let mut reply = execute_on_task(app, workspace, task_id, &self, command, call).await?;
        reply.status = StatusCode::OK;
        Ok(reply)
    }
}
