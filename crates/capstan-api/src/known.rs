//! Which workspaces and agents a caller may mean.

use std::collections::HashSet;
use std::sync::RwLock;

use capstan_domain::agent;
use capstan_domain::id::AgentId;
use capstan_envelope::{StreamId, Workspace};

use crate::App;
use crate::problem::Problem;

/// Workspaces that were found to exist; they never cease to.
#[derive(Debug, Default)]
pub(crate) struct KnownWorkspaces(RwLock<HashSet<Workspace>>);

impl KnownWorkspaces {
    fn contains(&self, workspace: &Workspace) -> bool {
        self.0.read().is_ok_and(|known| known.contains(workspace))
    }

    fn insert(&self, workspace: Workspace) {
        if let Ok(mut known) = self.0.write() {
            known.insert(workspace);
        }
    }
}

/// A stream of this workspace; an id that cannot be one names nothing.
pub(crate) fn stream(workspace: &Workspace, category: &str, id: &str) -> Result<StreamId, Problem> {
    StreamId::new(workspace.clone(), category, id).map_err(|_| Problem::not_found(category))
}

impl App {
    /// The workspace of this name, if it exists.
    pub(crate) async fn workspace(&self, name: &str) -> Result<Workspace, Problem> {
        let workspace = Workspace::new(name).map_err(|_| Problem::not_found("workspace"))?;
        if self.known.contains(&workspace) {
            return Ok(workspace);
        }
        let stream = stream(&workspace, "workspace", name)?;
        // Memory of its absence may be older than the workspace.
        let exists = self.workspaces.load(&stream).await?.state.exists
            || self.workspaces.refresh(&stream).await?.state.exists;
        if !exists {
            return Err(Problem::not_found("workspace"));
        }
        self.known.insert(workspace.clone());
        Ok(workspace)
    }

    /// The agent of this id, else of exactly this key.
    pub(crate) async fn agent(&self, workspace: &Workspace, named: &str) -> Result<agent::Created, Problem> {
        let named = named.trim();
        if let Ok(id) = named.parse::<AgentId>()
            && let Some(profile) = self.agent_of_id(workspace, id).await?
        {
            return Ok(profile);
        }
        let id = AgentId::of_key(workspace.as_str(), named);
        self.agent_of_id(workspace, id).await?.ok_or_else(|| Problem::not_found("agent"))
    }

    async fn agent_of_id(
        &self,
        workspace: &Workspace,
        id: AgentId,
    ) -> Result<Option<agent::Created>, Problem> {
        let stream = stream(workspace, "agent", &id.to_string())?;
        let loaded = self.agents.load(&stream).await?;
        if let Some(profile) = &loaded.state.profile {
            return Ok(Some(profile.clone()));
        }
        Ok(self.agents.refresh(&stream).await?.state.profile.clone())
    }
}
