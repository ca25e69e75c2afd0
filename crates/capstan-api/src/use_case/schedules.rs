//! Commands to a schedule that exists: changed, ended, paused, resumed.

use axum::http::StatusCode;
use capstan_contract::command::{CommandBody, DeleteSchedule, PauseSchedule, ResumeSchedule, UpdateSchedule};
use capstan_dispatch::{CommandContext, Decided};
use capstan_domain::id::ScheduleId;
use capstan_domain::schedule::command::{Delete, Pause, Resume, Update};
use capstan_domain::schedule::event::PauseCause;
use capstan_domain::schedule::{Command, ScheduleDecider};
use capstan_envelope::{StreamId, Workspace};

use super::execute::{Execute, required};
use super::resolve;
use crate::App;
use crate::call::CallContext;
use crate::problem::Problem;
use crate::receipt::Reply;

/// The stream of a schedule.
pub(crate) fn schedule_stream(workspace: &Workspace, schedule_id: ScheduleId) -> Result<StreamId, Problem> {
    resolve::stream(workspace, "schedule", &schedule_id.to_string())
}

/// The answer to a command on a schedule: with the schedule, when the read models show it in time.
pub(crate) async fn schedule_reply(
    app: &App,
    workspace: &Workspace,
    status: StatusCode,
    schedule_id: ScheduleId,
    context: &CommandContext,
    decided: &Decided<ScheduleDecider>,
) -> Reply {
    let schedule = app.shown_schedule(workspace, schedule_id, decided.position).await;
    Reply::new(status, context, decided).showing_object("schedule", schedule)
}

/// Sends one command to the schedule a body names.
async fn send<B: CommandBody>(
    app: &App,
    workspace: &Workspace,
    call: &CallContext,
    body: &B,
    named: Option<ScheduleId>,
    command: &Command,
) -> Result<Reply, Problem> {
    let schedule_id = required(named, "/schedule_id")?;
    let key = call.key(body.idempotency_key())?;
    let stream = schedule_stream(workspace, schedule_id)?;
    let context = call.command(&stream, key.as_ref(), body);
    let decided = app.dispatch.schedules.execute(&stream, command, &context).await?;
    Ok(schedule_reply(app, workspace, StatusCode::OK, schedule_id, &context, &decided).await)
}

impl Execute for UpdateSchedule {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let given = self.clone();
        let command = Command::Update(Box::new(Update {
            cron_expr: given.cron_expr,
            timezone: given.timezone,
            prompt: given.prompt,
            skill_paths: given.skill_paths,
            source_view_id: given.source_view_id,
            overlap: given.overlap,
            catch_up: given.catch_up,
            jitter_ms: given.jitter_ms,
            active: given.active,
            prompt_bytes_max: app.config.message_bytes_max,
            at: call.received_at,
        }));
        send(app, workspace, call, &self, self.schedule_id, &command).await
    }
}

impl Execute for DeleteSchedule {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let command = Command::Delete(Delete { at: call.received_at });
        send(app, workspace, call, &self, self.schedule_id, &command).await
    }
}

impl Execute for PauseSchedule {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let (cause, reason) = (PauseCause::Asked, self.reason.clone());
        let command = Command::Pause(Pause { cause, reason, at: call.received_at });
        send(app, workspace, call, &self, self.schedule_id, &command).await
    }
}

impl Execute for ResumeSchedule {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let command = Command::Resume(Resume { at: call.received_at });
        send(app, workspace, call, &self, self.schedule_id, &command).await
    }
}
