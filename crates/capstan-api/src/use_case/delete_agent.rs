//! Deletes an agent: cancels its open tasks first, if the caller asks for it, and deactivates its channel bindings afterwards.

use capstan_contract::request::Request;
use capstan_dispatch::{CommandContext, DispatchError};
use capstan_domain::agent::{Command, DeleteAgent, Rejection};
use capstan_domain::id::{AgentId, TaskId, derived};
use capstan_domain::task::command::CancelTask;
use capstan_domain::{Requested, channel, task};
use capstan_envelope::{CommitId, Workspace};

use super::execute::Execute;
use super::{agent, streams, wait};
use crate::App;
use crate::call::CallContext;
use crate::problem::Problem;
use crate::receipt::{Reply, Success};

/// Tasks cancelled in one round.
const TASKS_AT_A_TIME: u32 = 500;
/// Rounds, after which tasks are created faster than they can be cancelled.
const ROUNDS_MAX: usize = 200;

impl Execute for DeleteAgent {
    async fn execute(
        mut self,
        app: &App,
        workspace: &Workspace,
        call: &CallContext,
    ) -> Result<Reply, Problem> {
        let key = call.key();
        let agent_id = agent::named_id(app, workspace, &mut self.agent_id).await?;
        let stream = streams::agent(workspace, agent_id)?;
        let context = call.command(&stream, key.as_ref(), &self);
        let loaded = app.dispatch.agents.refresh(&stream).await?;
        let current = loaded.head.version;
        if context.expected_version.is_some_and(|expected| expected != current) {
            // Nothing may be cancelled for a command that is refused.
            return Err(DispatchError::<Rejection>::VersionMismatch { current }.into());
        }
        let command_id = CommitId(context.command_id);
        let is_repeat = app.dispatch.agents.applied(&stream, &loaded, command_id).await?.is_some();
        let is_there = loaded.state.profile.is_some() && !is_repeat;
        let deletion = Deletion { app, workspace, agent_id, context: &context };
        let mut cancelled = Vec::new();
        if is_there && self.cancel_open {
            cancelled = deletion.cancel_open_tasks().await?;
        }
        let open_tasks = if is_there { deletion.open_tasks().await? } else { 0 };
        let command = Requested::new(Command::Delete { open_tasks }, call.received_at);
        let decided = app.dispatch.agents.execute(&stream, &command, &context).await?;
        if decided.changed {
            deletion.clean_up(self.cancel_open, &mut cancelled).await;
        }
        Ok(Reply::new(Success::Done, &stream, &context, &decided).showing("cancelled_tasks", &cancelled))
    }
}

/// The deletion of one agent.
struct Deletion<'a> {
    app: &'a App,
    workspace: &'a Workspace,
    agent_id: AgentId,
    context: &'a CommandContext,
}

impl Deletion<'_> {
    /// The number of the agent's open tasks by now.
    async fn open_tasks(&self) -> Result<u64, Problem> {
        wait::for_head(self.app).await?;
        let models = self.app.reads.models();
        Ok(models.count_open_tasks(self.workspace.as_str(), Some(self.agent_id)).await?)
    }

    /// Cancels the agent's tasks until none is open.
    async fn cancel_open_tasks(&self) -> Result<Vec<TaskId>, Problem> {
        let mut cancelled = Vec::new();
        for _ in 0..ROUNDS_MAX {
            wait::for_head(self.app).await?;
            let open = self
                .app
                .reads
                .models()
                .open_tasks_of(self.workspace.as_str(), self.agent_id, TASKS_AT_A_TIME.into())
                .await?;
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

    /// Cancels one task; false when it had ended before.
    async fn cancel(&self, task_id: TaskId) -> Result<bool, Problem> {
        let stream = streams::task(self.workspace, task_id)?;
        let command_id =
            derived(&["cancelled-by", &self.context.command_id.to_string(), &task_id.to_string()]);
        let context = self.follow_up(command_id, CancelTask::NAME);
        let command = CancelTask { task_id, reason: Some("the agent is deleted".to_owned()) };
        let command = task::Command::Cancel { command, grace_ms: self.app.config.cancel_grace_ms };
        match self.app.dispatch.tasks.execute(&stream, &command.at(context.occurred_at), &context).await {
            Ok(decided) => Ok(decided.changed),
            Err(DispatchError::Rejected(task::Rejection::IllegalTransition { .. })) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Cleans up after the deletion. The agent is deleted by now, so a failure is logged and not returned.
    async fn clean_up(&self, cancel_open: bool, cancelled: &mut Vec<TaskId>) {
        let cleaned = async {
            if cancel_open {
                // Tasks that were accepted while the first ones were cancelled.
                cancelled.extend(self.cancel_open_tasks().await?);
            }
            self.deactivate_bindings().await
        };
        if let Err(problem) = cleaned.await {
            tracing::warn!(agent.id = %self.agent_id, detail = %problem.detail, "failed to clean up after a deleted agent");
            problem.log(self.context.correlation_id);
        }
    }

    /// Deactivates the channels bound to the agent; their addresses stay with the workspace.
    async fn deactivate_bindings(&self) -> Result<(), Problem> {
        for (channel_type, address) in
            self.app.reads.models().addresses_of(self.workspace.as_str(), self.agent_id).await?
        {
            let address = channel::Address::new(&channel_type, &address).map_err(Problem::invalid)?;
            let stream = streams::channel(&address)?;
            let command_id =
                derived(&["deactivated-by", &self.context.command_id.to_string(), &stream.to_string()]);
            let context = self.follow_up(command_id, DeleteAgent::NAME);
            let workspace = self.workspace.to_string();
            let command = channel::Command::Deactivate { workspace, agent_id: self.agent_id };
            let command = Requested::new(command, context.occurred_at);
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
