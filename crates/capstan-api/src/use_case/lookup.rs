//! Finding things for commands: which task a run belongs to, and how an entity looks after a command.

use std::time::Duration;

use capstan_domain::id::{AgentId, BindingId, OutputId, RunId, ScheduleId, TaskId, TokenId};
use capstan_domain::task::Task;
use capstan_envelope::{Position, Workspace};

use crate::App;
use crate::http::responses::Object;
use crate::problem::Problem;
use crate::use_case::execute::task_stream;

impl App {
    /// The task a run belongs to. A run that is not known yet may be on its way: the read models are waited for once.
    pub(crate) async fn task_of_run(&self, workspace: &Workspace, run_id: RunId) -> Result<TaskId, Problem> {
        if let Some(task_id) = self.reads.task_of_run(workspace, run_id).await? {
            return Ok(task_id);
        }
        self.wait_for_head().await?;
        let found = self.reads.task_of_run(workspace, run_id).await?;
        found.ok_or_else(|| Problem::not_found("run"))
    }

    /// The task an output belongs to, found as that of a run.
    pub(crate) async fn task_of_output(
        &self,
        workspace: &Workspace,
        output_id: OutputId,
    ) -> Result<TaskId, Problem> {
        if let Some(task_id) = self.reads.task_of_output(workspace, output_id).await? {
            return Ok(task_id);
        }
        self.wait_for_head().await?;
        let found = self.reads.task_of_output(workspace, output_id).await?;
        found.ok_or_else(|| Problem::not_found("output"))
    }

    /// Refuses a task that does not exist in this workspace.
    pub(crate) async fn must_have_task(&self, workspace: &Workspace, task_id: TaskId) -> Result<(), Problem> {
        self.loaded_task(workspace, task_id).await.map(|_| ())
    }

    /// The task as decisions see it, possibly a little behind.
    pub(crate) async fn loaded_task(
        &self,
        workspace: &Workspace,
        task_id: TaskId,
    ) -> Result<Box<Task>, Problem> {
        let stream = task_stream(workspace, task_id)?;
        if let Some(task) = &self.dispatch.tasks.load(&stream).await?.state {
            return Ok(task.clone());
        }
        let task = self.dispatch.tasks.refresh(&stream).await?.state.clone();
        task.ok_or_else(|| Problem::not_found("task"))
    }

    /// The task as reads show it at this position; nothing when the read models do not get there soon. The command is
    /// stored either way, so trouble with the read models does not make it fail.
    pub(crate) async fn shown_task(
        &self,
        workspace: &Workspace,
        task_id: TaskId,
        position: Position,
    ) -> Option<Object> {
        self.shown(position, self.reads.task(workspace, task_id)).await
    }

    /// The agent as reads show it at this position.
    pub(crate) async fn shown_agent(
        &self,
        workspace: &Workspace,
        agent_id: AgentId,
        position: Position,
    ) -> Option<Object> {
        self.shown(position, self.reads.agent(workspace, agent_id)).await
    }

    /// The output as reads show it at this position.
    pub(crate) async fn shown_output(
        &self,
        workspace: &Workspace,
        output_id: OutputId,
        position: Position,
    ) -> Option<Object> {
        self.shown(position, self.reads.output(workspace, None, output_id)).await
    }

    /// The schedule as reads show it at this position.
    pub(crate) async fn shown_schedule(
        &self,
        workspace: &Workspace,
        schedule_id: ScheduleId,
        position: Position,
    ) -> Option<Object> {
        self.shown(position, self.reads.schedule(workspace, schedule_id)).await
    }

    /// The channel binding as reads show it at this position.
    pub(crate) async fn shown_channel(
        &self,
        workspace: &Workspace,
        id: BindingId,
        position: Position,
    ) -> Option<Object> {
        self.shown(position, self.reads.channel(workspace, id)).await
    }

    /// The token as reads show it at this position.
    pub(crate) async fn shown_token(
        &self,
        workspace: &Workspace,
        token_id: TokenId,
        position: Position,
    ) -> Option<Object> {
        self.shown(position, self.reads.token(workspace, token_id)).await
    }

    /// The workspace as reads show it at this position.
    pub(crate) async fn shown_workspace(&self, workspace: &Workspace, position: Position) -> Option<Object> {
        self.shown(position, self.reads.workspace(workspace)).await
    }

    /// The class as reads show it at this position.
    pub(crate) async fn shown_class(
        &self,
        workspace: &Workspace,
        instance_key: &str,
        position: Position,
    ) -> Option<Object> {
        self.shown(position, self.reads.class(workspace, instance_key)).await
    }

    async fn shown(
        &self,
        position: Position,
        read: impl Future<Output = Result<Option<Object>, Problem>>,
    ) -> Option<Object> {
        let wait = Duration::from_millis(self.config.show_wait_ms);
        let look = async {
            self.reads.wait_for(position, wait).await.ok()?;
            read.await.ok()?
        };
        // Postgres may be gone: asking for a connection must not take longer than waiting would have.
        tokio::time::timeout(wait, look).await.ok()?
    }
}
