//! How much a workspace may have. Without a quota nothing is asked; with one, what is there is counted in the read
//! models once they show everything up to now. Commands under way at the same time do not see each other, so together
//! they may pass a quota by their number.

use capstan_dispatch::Loaded;
use capstan_domain::id::AgentId;
use capstan_domain::workspace;
use capstan_envelope::Workspace;
use std::sync::Arc;
use std::time::Duration;

use super::resolve;
use crate::App;
use crate::problem::{Code, Problem};

impl App {
    /// The workspace as this process knows it; its settings are at hand on every command.
    pub(crate) async fn workspace_state(
        &self,
        workspace: &Workspace,
    ) -> Result<Arc<Loaded<workspace::State>>, Problem> {
        let stream = resolve::stream(workspace, "workspace", workspace.as_str())?;
        Ok(self.dispatch.workspaces.load(&stream).await?)
    }

    /// Refuses one more open task than there may be.
    pub(crate) async fn admit_task(&self, workspace: &Workspace, max: u32) -> Result<(), Problem> {
        self.wait_for_head().await?;
        let open = self.reads.models().count_open_tasks(workspace.as_str(), None, max.into()).await?;
        admit(open, max, "open tasks")
    }

    /// Refuses one more agent than there may be.
    pub(crate) async fn admit_agent(&self, workspace: &Workspace, max: u32) -> Result<(), Problem> {
        self.wait_for_head().await?;
        let agents = self.reads.models().count_agents(workspace.as_str(), max.into()).await?;
        admit(agents, max, "agents")
    }

    /// Refuses one more schedule than there may be.
    pub(crate) async fn admit_schedule(&self, workspace: &Workspace, max: u32) -> Result<(), Problem> {
        self.wait_for_head().await?;
        let schedules = self.reads.models().count_schedules(workspace.as_str(), max.into()).await?;
        admit(schedules, max, "schedules")
    }

    /// How many tasks of an agent, or of all, are not over by now.
    pub(crate) async fn open_tasks(
        &self,
        workspace: &Workspace,
        agent_id: Option<AgentId>,
    ) -> Result<u64, Problem> {
        self.wait_for_head().await?;
        Ok(self.reads.models().count_open_tasks(workspace.as_str(), agent_id, u64::MAX).await?)
    }

    /// Waits until reads show everything that is stored by now.
    pub(crate) async fn wait_for_head(&self) -> Result<(), Problem> {
        let head = self.log.head().await?;
        self.reads.wait_for(head, Duration::from_millis(self.config.wait_ms_default)).await?;
        Ok(())
    }
}

fn admit(present: u64, max: u32, what: &str) -> Result<(), Problem> {
    if present < u64::from(max) {
        return Ok(());
    }
    let detail = format!("the workspace may have {max} {what}, and has as many");
    Err(Problem::new(Code::QuotaExceeded, detail))
}
