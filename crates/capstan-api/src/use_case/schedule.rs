//! The commands of a schedule: create, update, delete, pause, resume and trigger.

use capstan_contract::query::{GetSchedule, ListSchedules, Page, Wait};
use capstan_contract::request::Request;
use capstan_dispatch::{TogetherError, execute_together};
use capstan_domain::agent;
use capstan_domain::id::{ScheduleId, TaskId};
use capstan_domain::schedule::command::{
    CreateSchedule, DeleteSchedule, NewSchedule, PauseSchedule, ResumeSchedule, TriggerSchedule,
    UpdateSchedule,
};
use capstan_domain::schedule::event::PauseCause;
use capstan_domain::schedule::{Command, Event, ScheduleDecider, firing};
use capstan_domain::{Requested, schedule, task};
use capstan_envelope::Workspace;
use capstan_projections::ScheduleFilter;

use super::answer::Answer;
use super::execute::{Execute, check, decide_and_show};
use super::{quota, resolve, streams, wait};
use crate::App;
use crate::answered::Answered;
use crate::call::CallContext;
use crate::problem::Problem;
use crate::receipt::{Reply, Success};

impl Execute for CreateSchedule {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let key = call.key();
        let named = resolve::agent(app, workspace, &self.agent_id).await;
        let derived = |key: &str| ScheduleId::from_key(workspace.as_str(), key);
        let schedule_id = call.keyed_id(key.as_ref(), derived);
        let create = |agent, create| {
            let new = NewSchedule {
                schedule_id,
                workspace: workspace.to_string(),
                agent,
                prompt_bytes_max: app.config.message_bytes_max,
            };
            Command::Create(Box::new(create), Box::new(new))
        };
        let agent = match named {
            Ok(agent) => agent,
            Err(problem) => {
                let any = agent::Created::named(workspace.as_str(), "any", "any", call.received_at);
                let command = Requested::new(create(any, self), call.received_at);
                return Err(problem.after(check::<ScheduleDecider>(&command)));
            }
        };
        let stream = streams::schedule(workspace, schedule_id)?;
        let workspace_state = resolve::workspace_state(app, workspace).await?;
        if let Some(max) = workspace_state.state.settings().and_then(|settings| settings.quotas.schedules_max)
            && (key.is_none() || app.dispatch.schedules.refresh(&stream).await?.head.version == 0)
        {
            quota::admit_schedule(app, workspace, max).await?;
        }
        let context = call.command(&stream, key.as_ref(), &self);
        let command = create(agent, self);
        let (schedules, shown) =
            (&app.dispatch.schedules, call.shows(app.reads.one(workspace, &schedule_id)));
        decide_and_show(app, schedules, &stream, command, &context, Success::Created, shown).await
    }
}

impl Execute for UpdateSchedule {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let prompt_bytes_max = app.config.message_bytes_max;
        let command = Command::Update { update: Box::new(self.clone()), prompt_bytes_max };
        decide(app, workspace, call, &self, self.schedule_id, command).await
    }
}

impl Execute for DeleteSchedule {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        decide(app, workspace, call, &self, self.schedule_id, Command::Delete).await
    }
}

impl Execute for PauseSchedule {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let command = Command::Pause { cause: PauseCause::Asked, reason: self.reason.clone() };
        decide(app, workspace, call, &self, self.schedule_id, command).await
    }
}

impl Execute for ResumeSchedule {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        decide(app, workspace, call, &self, self.schedule_id, Command::Resume).await
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
        let agent = resolve::agent_for_task(app, workspace, &known.agent_id.to_string()).await?;
        let derived = |key: &str| TaskId::of_trigger(workspace.as_str(), agent.agent_id, schedule_id, key);
        let task_id = call.keyed_id(key.as_ref(), derived);
        let follow = |events: &[Event], state: &schedule::State| {
            let accept = firing::accept_of(state.as_deref()?, events, &agent)?;
            let stream = streams::task(workspace, accept.task_id).ok()?;
            Some((stream, task::Command::Accept(Box::new(accept)).at(call.received_at)))
        };
        let command = Requested::new(Command::Trigger { task_id }, call.received_at);
        let part = (&*app.dispatch.schedules, &stream, &command);
        let together = execute_together(part, &*app.dispatch.tasks, follow, &context).await?;
        let shown = call.shows(app.reads.one(workspace, &task_id));
        let task = wait::shown(app, together.first.position, shown).await;
        let reply = Reply::new(Success::Accepted, &stream, &context, &together.first);
        Ok(Reply { task_id: Some(task_id), ..reply.showing_object("task", task) })
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
async fn decide<B: Request>(
    app: &App,
    workspace: &Workspace,
    call: &CallContext,
    body: &B,
    schedule_id: ScheduleId,
    command: Command,
) -> Result<Reply, Problem> {
    let stream = streams::schedule(workspace, schedule_id)?;
    let context = call.command(&stream, call.key().as_ref(), body);
    let (schedules, shown) = (&app.dispatch.schedules, call.shows(app.reads.one(workspace, &schedule_id)));
    decide_and_show(app, schedules, &stream, command, &context, Success::Done, shown).await
}

impl Answer for ListSchedules {
    async fn answer(self, app: &App, workspace: &Workspace, page: Page) -> Result<Answered, Problem> {
        let filter = ScheduleFilter {
            source_view_id: self.source_view_id,
            agent_id: resolve::agent_filter(app, workspace, self.agent_id).await?,
            active: self.active,
        };
        Ok(app.reads.list(workspace, &filter, &page).await?.into())
    }
}

impl Answer for GetSchedule {
    async fn answer(self, app: &App, workspace: &Workspace, _: Wait) -> Result<Answered, Problem> {
        app.reads.get(workspace, &self.schedule_id, "schedule").await
    }
}
