//! Creates a task for an agent. The hot path: one append, no read.

use capstan_contract::command::AcceptAgentCommand;
use capstan_dispatch::DispatchError;
use capstan_domain::Faults;
use capstan_domain::id::TaskId;
use capstan_domain::session;
use capstan_domain::task::command::{Accept, Parent};
use capstan_domain::task::{Command, Rejection, State};
use capstan_envelope::Workspace;

use super::execute::Execute;
use super::input::name;
use super::read::Reads;
use super::{continuation, quota, resolve, streams, wait};
use crate::App;
use crate::call::{CallContext, fresh_id};
use crate::problem::Problem;
use crate::receipt::{Reply, Success};

impl Execute for AcceptAgentCommand {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let key = call.key();
        let agent = resolve::agent(app, workspace, &self.agent_id).await?;
        let parent = match self.parent_task_id {
            Some(task_id) => Some(parent(app, workspace, task_id).await?),
            None => None,
        };
        let task_id = match &key {
            Some(key) => TaskId::of_key(workspace.as_str(), agent.agent_id, &key.text()),
            None => TaskId(fresh_id(call.received_at)),
        };
        let named = self.session_id.as_deref().is_some_and(|name| !name.trim().is_empty());
        if !named {
            let mut faults = Faults::default();
            session::check_mode(self.queue_mode.as_deref(), &mut faults);
            Problem::refuse(faults)?;
        }
        let state = resolve::workspace_state(app, workspace).await?;
        let settings = state.state.settings();
        let default_policy = settings.and_then(|settings| settings.default_policy.as_ref());
        let open_tasks_max = settings.and_then(|settings| settings.quotas.open_tasks_max);
        let body = self.clone();
        let accept = Accept {
            task_id,
            workspace: workspace.to_string(),
            agent,
            message: self.message,
            session_id: self.session_id.filter(|_| named).unwrap_or_else(|| task_id.to_string()),
            session_key: self.session_key,
            lane: self.lane,
            policy: self.policy.or_else(|| default_policy.cloned()),
            timeout_ms: self.timeout_ms,
            priority: self.priority,
            budget_usd: self.budget_usd,
            parent,
            parent_close: self.parent_close.unwrap_or_default(),
            source_output_id: None,
            runs_after: None,
            schedule_id: None,
            skill_paths: Vec::new(),
            label: self.label,
            labels: self.labels,
            routing: self.routing,
            input_provenance: self.input_provenance,
            attachments: self.attachments,
            extra_system_prompt: self.extra_system_prompt,
            deliver: self.deliver,
            source_view_id: self.source_view_id,
            spawned_by: self.spawned_by,
            hook_id: self.hook_id,
            dispatch_delay_ms: self.dispatch_delay_ms,
            not_before: self.not_before,
            deadline: self.deadline,
            queue_ttl_ms: self.queue_ttl_ms,
            watches: Vec::new(),
            message_bytes_max: app.config.message_bytes_max,
            accepted_by: name(&call.actor),
        };
        if named {
            return continuation::execute(app, workspace, body, accept, key.as_ref(), call, open_tasks_max)
                .await;
        }
        let stream = streams::task(workspace, task_id)?;
        quota::admit_task(app, workspace, task_id, key.as_ref(), open_tasks_max).await?;
        let context = call.command(&stream, key.as_ref(), &body);
        let command = Command::Accept(Box::new(accept)).at(call.received_at);
        let decided =
            app.dispatch.tasks.execute(&stream, &command, &context).await.map_err(|error| match error {
                // The task's id is derived from the key: another command used it, on a session.
                DispatchError::Rejected(Rejection::Exists) => DispatchError::IdempotencyConflict,
                error => error,
            })?;
        let mut reply = Reply::new(Success::Accepted, &context, &decided);
        // A new task is shown from its own events, so that the reply does not wait for the read models.
        if decided.duplicate {
            let task = wait::shown(app, decided.position, app.reads.task(workspace, task_id)).await;
            return Ok(reply.showing_object("task", task));
        }
        reply.entity = Reads::new_task(&stream, &context, &decided).map(|task| ("task", task));
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
