//! Deletes an agent: its open tasks first, if the caller says so, its channel bindings afterwards.

use axum::http::StatusCode;
use capstan_contract::command::{CancelTask, CommandBody, DeleteAgent};
use capstan_dispatch::{CommandContext, DispatchError};
use capstan_domain::agent::{Command, Delete, Rejection};
use capstan_domain::id::{AgentId, TaskId, derived};
use capstan_domain::{channel, task};
use capstan_envelope::{CommitId, Workspace};

use super::execute::{Execute, agent_named, task_stream};
use super::resolve;
use crate::App;
use crate::call::CallContext;
use crate::problem::Problem;
use crate::receipt::Reply;

/// Tasks cancelled between two looks for more.
const TASKS_AT_A_TIME: u32 = 500;
/// Looks for more, after which somebody gives the agent work faster than it can be cancelled.
const LOOKS_MAX: usize = 200;

impl Execute for DeleteAgent {
    async fn execute(
        mut self,
        app: &App,
        workspace: &Workspace,
        call: &CallContext,
    ) -> Result<Reply, Problem> {
        let key = call.key(self.idempotency_key())?;
        let agent_id = agent_named(app, workspace, &mut self.agent_id).await?;
        let stream = resolve::agent_stream(workspace, agent_id)?;
        let context = call.command(&stream, key.as_ref(), &self);
        let loaded = app.dispatch.agents.refresh(&stream).await?;
        let current = loaded.head.version;
        if context.expected_version.is_some_and(|expected| expected != current) {
            // Nothing may be cancelled for a command that is refused.
            return Err(DispatchError::<Rejection>::VersionMismatch { current }.into());
        }
        let is_repeat = loaded.head.applied.contains_key(&CommitId(context.command_id));
        let is_there = loaded.state.profile.is_some() && !is_repeat;
        let deletion = Deletion { app, workspace, agent_id, context: &context };
        let mut cancelled = Vec::new();
        if is_there && self.cancel_open {
            cancelled = deletion.cancel_open_tasks().await?;
        }
        let open_tasks = if is_there { app.open_tasks(workspace, Some(agent_id)).await? } else { 0 };
        let command = Command::Delete(Delete { open_tasks, at: call.received_at });
        let decided = app.dispatch.agents.execute(&stream, &command, &context).await?;
        if decided.changed {
            deletion.tidy_up(self.cancel_open, &mut cancelled).await;
        }
        Ok(Reply::new(StatusCode::OK, &context, &decided).showing("cancelled_tasks", &cancelled))
    }
}

/// What follows from deleting one agent.
struct Deletion<'a> {
    app: &'a App,
    workspace: &'a Workspace,
    agent_id: AgentId,
    context: &'a CommandContext,
}

impl Deletion<'_> {
    /// Cancels the agent's tasks until none is open.
    async fn cancel_open_tasks(&self) -> Result<Vec<TaskId>, Problem> {
        let mut cancelled = Vec::new();
        for _ in 0..LOOKS_MAX {
            self.app.wait_for_head().await?;
            let open = self.app.reads.open_tasks_of(self.workspace, self.agent_id, TASKS_AT_A_TIME).await?;
            if open.is_empty() {
                break;
            }
            for task_id in open {
                if self.cancel(task_id).await? {
                    cancelled.push(task_id);
                }
            }
        }
        Ok(cancelled)
    }

    /// Cancels one task; false when it was over before.
    async fn cancel(&self, task_id: TaskId) -> Result<bool, Problem> {
        let stream = task_stream(self.workspace, task_id)?;
        let command_id =
            derived(&["cancelled-by", &self.context.command_id.to_string(), &task_id.to_string()]);
        let context = self.follow_up(command_id, CancelTask::NAME);
        let command = task::Command::Cancel(task::command::Cancel {
            reason: Some("the agent is deleted".to_owned()),
            grace_ms: self.app.config.cancel_grace_ms,
            at: context.occurred_at,
        });
        match self.app.dispatch.tasks.execute(&stream, &command, &context).await {
            Ok(decided) => Ok(decided.changed),
            Err(DispatchError::Rejected(task::Rejection::IllegalTransition { .. })) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// What the deletion leaves to do. The agent is gone by now, so trouble is told to the log and not to the caller.
    async fn tidy_up(&self, cancel_open: bool, cancelled: &mut Vec<TaskId>) {
        let tidied = async {
            if cancel_open {
                // Tasks that were accepted while the first ones were cancelled.
                cancelled.extend(self.cancel_open_tasks().await?);
            }
            self.deactivate_bindings().await
        };
        if let Err(problem) = tidied.await {
            tracing::warn!(agent.id = %self.agent_id, detail = %problem.detail, "failed to tidy up after an agent");
            problem.log(self.context.correlation_id);
        }
    }

    /// Channels bound to the agent take no messages any more; their addresses stay with the workspace.
    async fn deactivate_bindings(&self) -> Result<(), Problem> {
        for (channel_type, address) in self.app.reads.addresses_of(self.workspace, self.agent_id).await? {
            let address = channel::Address::new(&channel_type, &address).map_err(Problem::invalid)?;
            let stream = resolve::channel_stream(&address)?;
            let command_id =
                derived(&["deactivated-by", &self.context.command_id.to_string(), &stream.to_string()]);
            let context = self.follow_up(command_id, DeleteAgent::NAME);
            let command = channel::Command::Deactivate(channel::Deactivate {
                workspace: self.workspace.to_string(),
                agent_id: self.agent_id,
                at: context.occurred_at,
            });
            self.app.dispatch.channels.execute(&stream, &command, &context).await?;
        }
        Ok(())
    }

    fn follow_up(&self, command_id: uuid::Uuid, command: &'static str) -> CommandContext {
        CommandContext {
            command_id,
            command,
            causation_id: Some(self.context.command_id),
            idempotency: None,
            expected_version: None,
            ..self.context.clone()
        }
    }
}
