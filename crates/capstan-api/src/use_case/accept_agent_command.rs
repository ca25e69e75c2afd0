//! Creates a task for an agent. The hot path: one append, no read.

use capstan_dispatch::DispatchError;
use capstan_domain::agent;
use capstan_domain::id::TaskId;
use capstan_domain::task::command::{Accept, AcceptAgentCommand, Parent};
use capstan_domain::task::{Command, Rejection, State, TaskDecider};
use capstan_envelope::Workspace;
use uuid::Uuid;

use super::execute::{Execute, check};
use super::input::name;
use super::read::Reads;
use super::{continuation, quota, resolve, streams, wait};
use crate::App;
use crate::call::CallContext;
use crate::problem::Problem;
use crate::receipt::{Reply, Success};

impl Execute for AcceptAgentCommand {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let key = call.key();
        let named = resolve::agent_for_task(app, workspace, &self.agent_id).await;
        let parent = match self.parent_task_id {
            Some(task_id) => Some(parent(app, workspace, task_id).await?),
            None => None,
        };
        let settings = resolve::workspace_state(app, workspace).await?;
        let settings = settings.state.settings();
        let accept = |agent, task_id, command| Accept {
            default_policy: settings.and_then(|settings| settings.default_policy.clone()),
            parent: parent.clone(),
            message_bytes_max: app.config.message_bytes_max,
            accepted_by: name(&call.actor),
            ..Accept::new(task_id, agent, command)
        };
        let agent = match named {
            Ok(agent) => agent,
            Err(problem) => {
                let any = agent::Created::named(workspace.as_str(), "any", "any", call.received_at);
                let command = Command::Accept(Box::new(accept(any.into(), TaskId(Uuid::nil()), self)));
                return Err(problem.after(check::<TaskDecider>(&command.at(call.received_at))));
            }
        };
        let derived = |key: &str| TaskId::from_key(workspace.as_str(), agent.agent_id, key);
        let task_id = call.keyed_id(key.as_ref(), derived);
        let open_tasks_max = settings.and_then(|settings| settings.quotas.open_tasks_max);
        let accept = accept(agent, task_id, self);
        if let Some(session) =
            accept.command.session_id.as_deref().map(str::trim).filter(|name| !name.is_empty())
        {
            let session = session.to_owned();
            return continuation::execute(
                app,
                workspace,
                session,
                accept,
                key.as_ref(),
                call,
                open_tasks_max,
            )
            .await;
        }
        let stream = streams::task(workspace, task_id)?;
        quota::admit_task(app, workspace, task_id, key.as_ref(), open_tasks_max).await?;
        let context = call.command(&stream, key.as_ref(), &accept.command);
        let command = Command::Accept(Box::new(accept)).at(call.received_at);
        let decided =
            app.dispatch.tasks.execute(&stream, &command, &context).await.map_err(|error| match error {
                // The task's id is derived from the key: another command used it, on a session.
                DispatchError::Rejected(Rejection::Exists) => DispatchError::IdempotencyConflict,
                error => error,
            })?;
        let mut reply = Reply::new(Success::Accepted, &stream, &context, &decided);
        // A new task is shown from its own events, so that the reply does not wait for the read models.
        if decided.duplicate {
            let shown = call.shows(app.reads.one(workspace, &task_id));
            let task = wait::shown(app, decided.position, shown).await;
            return Ok(reply.showing_object("task", task));
        }
        if !call.is_minimal {
            reply.entity = Reads::new_task(&stream, &context, &decided).map(|task| ("task", task));
        }
        Ok(reply)
    }
}

/// Looks the parent up; a parent that is not open in the cache is read from the log.
async fn parent(app: &App, workspace: &Workspace, task_id: TaskId) -> Result<Parent, Problem> {
    let stream = streams::task(workspace, task_id)?;
    let known = app.dispatch.tasks.load(&stream).await?;
    if let Some(parent) = open_parent(&known.state) {
        return Ok(parent);
    }
    let newest = app.dispatch.tasks.refresh(&stream).await?;
    Ok(open_parent(&newest.state).unwrap_or(Parent {
        task_id,
        root_task_id: task_id,
        depth: 0,
        is_open: false,
    }))
}

fn open_parent(state: &State) -> Option<Parent> {
    let task = state.as_deref().filter(|task| !task.state.is_terminal())?;
    let root_task_id = task.accepted.root_task_id.unwrap_or(task.id());
    Some(Parent { task_id: task.id(), root_task_id, depth: task.accepted.depth, is_open: true })
}
