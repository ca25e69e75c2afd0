//! Makes one task of a schedule now: schedule and task in one append.

use axum::http::StatusCode;
use capstan_contract::command::{CommandBody, TriggerSchedule};
use capstan_dispatch::{TogetherError, execute_together};
use capstan_domain::id::TaskId;
use capstan_domain::schedule::command::Trigger;
use capstan_domain::schedule::{Command, Event, firing};
use capstan_domain::{schedule, task};
use capstan_envelope::Workspace;

use super::execute::{Execute, required, task_stream};
use super::schedules::schedule_stream;
use crate::App;
use crate::call::{CallContext, fresh_id};
use crate::problem::Problem;
use crate::receipt::Reply;

impl Execute for TriggerSchedule {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let schedule_id = required(self.schedule_id, "/schedule_id")?;
        let key = call.key(self.idempotency_key())?;
        let stream = schedule_stream(workspace, schedule_id)?;
        let context = call.command(&stream, key.as_ref(), &self);
        let loaded = app.dispatch.schedules.refresh(&stream).await?;
        let known = loaded.state.as_deref().ok_or_else(|| Problem::not_found("schedule"))?;
        let agent = app.agent(workspace, &known.agent_id.to_string()).await?;
        let task_id = match &key {
            Some(key) => {
                TaskId::of_key(workspace.as_str(), agent.agent_id, &format!("{stream}:{}", key.text()))
            }
            None => TaskId(fresh_id(call.received_at)),
        };
        let follow = |events: &[Event], state: &schedule::State| {
            let accept = firing::accept_of(state.as_deref()?, events, &agent)?;
            let stream = task_stream(workspace, accept.task_id).ok()?;
            Some((stream, task::Command::Accept(Box::new(accept))))
        };
        let command = Command::Trigger(Trigger { task_id, at: call.received_at });
        let part = (&*app.dispatch.schedules, &stream, &command);
        let together = execute_together(part, &*app.dispatch.tasks, follow, &context).await?;
        let task = app.shown_task(workspace, task_id, together.first.position).await;
        Ok(Reply::new(StatusCode::ACCEPTED, &context, &together.first).showing_object("task", task))
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
