//! The commands of a workspace: create and update.

use std::collections::BTreeMap;

use capstan_contract::command::{CreateWorkspace, QuotaSettings, ToolSettings, UpdateWorkspace};
use capstan_domain::workspace::tool::{TIMEOUT_MS_DEFAULT, Tool};
use capstan_domain::workspace::{Command, Create, QuotaChanges, Update};
use capstan_envelope::Workspace;

use super::execute::Execute;
use super::{streams, wait};
use crate::App;
use crate::call::CallContext;
use crate::problem::Problem;
use crate::receipt::{Reply, Success};

impl Execute for CreateWorkspace {
    const CREATES_WORKSPACE: bool = true;

    fn new_workspace(&self) -> Option<&str> {
        Some(&self.workspace)
    }

    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let key = call.key();
        let stream = streams::workspace(workspace)?;
        let context = call.command(&stream, key.as_ref(), &self);
        let display_name = self.display_name.as_deref().map(str::trim).filter(|name| !name.is_empty());
        let command = Command::Create(Create {
            workspace: workspace.to_string(),
            display_name: display_name.unwrap_or(workspace.as_str()).to_owned(),
            at: call.received_at,
        });
        let decided = app.dispatch.workspaces.execute(&stream, &command, &context).await?;
        let shown = wait::shown(app, decided.position, app.reads.workspace(workspace)).await;
        Ok(Reply::new(Success::Created, &context, &decided).showing_object("workspace", shown))
    }
}

impl Execute for UpdateWorkspace {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let key = call.key();
        let stream = streams::workspace(workspace)?;
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
        let shown = wait::shown(app, decided.position, app.reads.workspace(workspace)).await;
        Ok(Reply::new(Success::Done, &context, &decided).showing_object("workspace", shown))
    }
}

fn quotas(QuotaSettings { open_tasks_max, agents_max, schedules_max }: QuotaSettings) -> QuotaChanges {
    QuotaChanges { open_tasks_max, agents_max, schedules_max }
}

fn tools(settings: BTreeMap<String, Option<ToolSettings>>) -> BTreeMap<String, Option<Tool>> {
    let tool = |ToolSettings { url, headers, timeout_ms }| Tool {
        url,
        headers,
        timeout_ms: timeout_ms.unwrap_or(TIMEOUT_MS_DEFAULT),
    };
    settings.into_iter().map(|(name, settings)| (name, settings.map(tool))).collect()
}
