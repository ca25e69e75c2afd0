//! Begins a schedule.

use axum::http::StatusCode;
use capstan_contract::command::{CommandBody, CreateSchedule};
use capstan_domain::id::ScheduleId;
use capstan_domain::schedule::command::Create;
use capstan_domain::schedule::{Command, Definition};
use capstan_envelope::Workspace;

use super::execute::{Execute, required};
use super::schedules::{schedule_reply, schedule_stream};
use crate::App;
use crate::call::{CallContext, fresh_id};
use crate::problem::Problem;
use crate::receipt::Reply;

impl Execute for CreateSchedule {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let key = call.key(self.idempotency_key())?;
        let named = required(Some(self.agent_id.trim()).filter(|named| !named.is_empty()), "/agent_id")?;
        let agent = app.agent(workspace, named).await?;
        let schedule_id = match &key {
            Some(key) => ScheduleId::of_key(workspace.as_str(), &key.text()),
            None => ScheduleId(fresh_id(call.received_at)),
        };
        let stream = schedule_stream(workspace, schedule_id)?;
        let workspace_state = app.workspace_state(workspace).await?;
        if let Some(max) = workspace_state.state.settings().and_then(|settings| settings.quotas.schedules_max)
            && (key.is_none() || app.dispatch.schedules.refresh(&stream).await?.head.version == 0)
        {
            app.admit_schedule(workspace, max).await?;
        }
        let context = call.command(&stream, key.as_ref(), &self);
        let command = Command::Create(Box::new(Create {
            schedule_id,
            workspace: workspace.to_string(),
            agent,
            definition: Definition {
                cron_expr: self.cron_expr,
                timezone: self.timezone.unwrap_or_default(),
                prompt: self.prompt,
                skill_paths: self.skill_paths.unwrap_or_default(),
                source_view_id: self.source_view_id,
                overlap: self.overlap.unwrap_or_default(),
                catch_up: self.catch_up.unwrap_or_default(),
                jitter_ms: self.jitter_ms.unwrap_or_default(),
            },
            active: self.active.unwrap_or(true),
            prompt_bytes_max: app.config.message_bytes_max,
            at: call.received_at,
        }));
        let decided = app.dispatch.schedules.execute(&stream, &command, &context).await?;
        Ok(schedule_reply(app, workspace, StatusCode::CREATED, schedule_id, &context, &decided).await)
    }
}
