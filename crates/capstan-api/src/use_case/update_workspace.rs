//! Changes a workspace.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use capstan_contract::command::{CommandBody, QuotaSettings, ToolSettings, UpdateWorkspace};
use capstan_domain::workspace::tool::{TIMEOUT_MS_DEFAULT, Tool};
use capstan_domain::workspace::{Command, QuotaChanges, Update};
use capstan_envelope::Workspace;

use super::execute::Execute;
use super::resolve;
use crate::App;
use crate::call::CallContext;
use crate::problem::Problem;
use crate::receipt::Reply;

impl Execute for UpdateWorkspace {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let key = call.key(self.idempotency_key())?;
        let stream = resolve::stream(workspace, "workspace", workspace.as_str())?;
        let context = call.command(&stream, key.as_ref(), &self);
        let settings = self.settings.unwrap_or_default();
        let command = Command::Update(Box::new(Update {
            workspace: workspace.to_string(),
            display_name: self.display_name,
            disabled_tools: settings.disabled_tools,
            default_policy: settings.default_policy,
            quotas: settings.quotas.map(quotas).unwrap_or_default(),
            budget_usd_per_day: settings.budget_usd_per_day,
            approval_policy: settings.approval_policy,
            tools: tools(settings.tools),
            at: call.received_at,
        }));
        let decided = app.dispatch.workspaces.execute(&stream, &command, &context).await?;
        let shown = app.shown_workspace(workspace, decided.position).await;
        Ok(Reply::new(StatusCode::OK, &context, &decided).showing_object("workspace", shown))
    }
}

fn quotas(QuotaSettings { open_tasks_max, agents_max, schedules_max }: QuotaSettings) -> QuotaChanges {
    QuotaChanges { open_tasks_max, agents_max, schedules_max }
}

fn tools(given: BTreeMap<String, Option<ToolSettings>>) -> BTreeMap<String, Option<Tool>> {
    let tool = |ToolSettings { url, headers, timeout_ms }| Tool {
        url,
        headers,
        timeout_ms: timeout_ms.unwrap_or(TIMEOUT_MS_DEFAULT),
    };
    given.into_iter().map(|(name, settings)| (name, settings.map(tool))).collect()
}
