//! The commands of a schedule: create, update, delete, pause, resume and trigger.

use capstan_contract::command::{
    CommandBody, CreateSchedule, DeleteSchedule, PauseSchedule, ResumeSchedule, TriggerSchedule,
    UpdateSchedule,
};
use capstan_dispatch::{CommandContext, Decided, TogetherError, execute_together};
use capstan_domain::id::{ScheduleId, TaskId};
use capstan_domain::schedule::command::{Create, Delete, Pause, Resume, Trigger, Update};
use capstan_domain::schedule::event::PauseCause;
use capstan_domain::schedule::{Command, Definition, Event, ScheduleDecider, firing};
use capstan_domain::{schedule, task};
use capstan_envelope::Workspace;

use super::execute::Execute;
use super::{quota, resolve, streams, wait};
use crate::App;
use crate::call::{CallContext, fresh_id};
use crate::problem::Problem;
use crate::receipt::{Reply, Success};

impl Execute for CreateSchedule {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let key = call.key();
        let agent = resolve::agent(app, workspace, &self.agent_id).await?;
        let schedule_id = match &key {
            Some(key) => ScheduleId::of_key(workspace.as_str(), &key.text()),
            None => ScheduleId(fresh_id(call.received_at)),
        };
        let stream = streams::schedule(workspace, schedule_id)?;
        let workspace_state = resolve::workspace_state(app, workspace).await?;
        if let Some(max) = workspace_state.state.settings().and_then(|settings| settings.quotas.schedules_max)
            && (key.is_none() || app.dispatch.schedules.refresh(&stream).await?.head.version == 0)
        {
            quota::admit_schedule(app, workspace, max).await?;
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
        Ok(reply(app, workspace, Success::Created, schedule_id, &context, &decided).await)
    }
}

impl Execute for UpdateSchedule {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let body = self.clone();
        let command = Command::Update(Box::new(Update {
            cron_expr: body.cron_expr,
            timezone: body.timezone,
            prompt: body.prompt,
            skill_paths: body.skill_paths,
            source_view_id: body.source_view_id,
            overlap: body.overlap,
            catch_up: body.catch_up,
            jitter_ms: body.jitter_ms,
            active: body.active,
            prompt_bytes_max: app.config.message_bytes_max,
            at: call.received_at,
        }));
        decide(app, workspace, call, &self, self.schedule_id, &command).await
    }
}

impl Execute for DeleteSchedule {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let command = Command::Delete(Delete { at: call.received_at });
        decide(app, workspace, call, &self, self.schedule_id, &command).await
    }
}

impl Execute for PauseSchedule {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let (cause, reason) = (PauseCause::Asked, self.reason.clone());
        let command = Command::Pause(Pause { cause, reason, at: call.received_at });
        decide(app, workspace, call, &self, self.schedule_id, &command).await
    }
}

impl Execute for ResumeSchedule {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let command = Command::Resume(Resume { at: call.received_at });
        decide(app, workspace, call, &self, self.schedule_id, &command).await
    }
}

/// Creates one task from a schedule now: both streams change in one append.
impl Execute for TriggerSchedule {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let schedule_id = self.schedule_id;
        let key = call.key();
        let stream = streams::schedule(workspace, schedule_id)?;
        let context = call.command(&stream, key.as_ref(), &self);
        let loaded = app.dispatch.schedules.refresh(&stream).await?;
        let known = loaded.state.as_deref().ok_or_else(|| Problem::not_found("schedule"))?;
        let agent = resolve::agent(app, workspace, &known.agent_id.to_string()).await?;
        let task_id = match &key {
            Some(key) => {
                TaskId::of_key(workspace.as_str(), agent.agent_id, &format!("{stream}:{}", key.text()))
            }
            None => TaskId(fresh_id(call.received_at)),
        };
        let follow = |events: &[Event], state: &schedule::State| {
            let accept = firing::accept_of(state.as_deref()?, events, &agent)?;
            let stream = streams::task(workspace, accept.task_id).ok()?;
            Some((stream, task::Command::Accept(Box::new(accept)).at(call.received_at)))
        };
        let command = Command::Trigger(Trigger { task_id, at: call.received_at });
        let part = (&*app.dispatch.schedules, &stream, &command);
        let together = execute_together(part, &*app.dispatch.tasks, follow, &context).await?;
        let task = wait::shown(app, together.first.position, app.reads.task(workspace, task_id)).await;
        Ok(Reply::new(Success::Accepted, &context, &together.first).showing_object("task", task))
    }
}

impl From<TogetherError<schedule::Rejection, task::Rejection>> for Problem {
    fn from(error: TogetherError<schedule::Rejection, task::Rejection>) -> Self {
        match error {
            TogetherError::First(error) => error.into(),
            TogetherError::Second(error) => error.into(),
        }
    }
}

/// Executes one command on the schedule a body names.
async fn decide<B: CommandBody>(
    app: &App,
    workspace: &Workspace,
    call: &CallContext,
    body: &B,
    schedule_id: ScheduleId,
    command: &Command,
) -> Result<Reply, Problem> {
    let key = call.key();
    let stream = streams::schedule(workspace, schedule_id)?;
    let context = call.command(&stream, key.as_ref(), body);
    let decided = app.dispatch.schedules.execute(&stream, command, &context).await?;
    Ok(reply(app, workspace, Success::Done, schedule_id, &context, &decided).await)
}

/// The reply to a command on a schedule: with the schedule, when the read models have it in time.
async fn reply(
    app: &App,
    workspace: &Workspace,
    success: Success,
    schedule_id: ScheduleId,
    context: &CommandContext,
    decided: &Decided<ScheduleDecider>,
) -> Reply {
    let schedule = wait::shown(app, decided.position, app.reads.schedule(workspace, schedule_id)).await;
    Reply::new(success, context, decided).showing_object("schedule", schedule)
}
