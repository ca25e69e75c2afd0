//! Which workspaces and agents a caller may mean.

use std::collections::HashSet;
use std::sync::RwLock;

use capstan_domain::agent::lookup::normal_form;
use capstan_domain::id::AgentId;
use capstan_domain::{agent, channel};
use capstan_envelope::{StreamId, Workspace};

use crate::App;
use crate::http::responses::Object;
use crate::problem::{Code, Problem};

/// Agents named when a name may mean several.
const CANDIDATES_MAX: i64 = 10;

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

/// The stream of an agent.
pub(crate) fn agent_stream(workspace: &Workspace, id: AgentId) -> Result<StreamId, Problem> {
    stream(workspace, "agent", &id.to_string())
}

/// The stream of a channel: one for all workspaces, so that whoever binds an address meets whoever holds it.
pub(crate) fn channel_stream(address: &channel::Address) -> Result<StreamId, Problem> {
    let shared = Workspace::new(channel::WORKSPACE).map_err(Problem::internal)?;
    stream(&shared, "channel", &address.channel_id().to_string())
}

/// The ids a name may stand for: itself, and that of the agent with exactly this key.
fn ids_of(workspace: &Workspace, named: &str) -> impl Iterator<Item = AgentId> + use<> {
    let by_key = (!named.is_empty()).then(|| AgentId::of_key(workspace.as_str(), named));
    named.parse().ok().into_iter().chain(by_key)
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
        let exists = self.dispatch.workspaces.load(&stream).await?.state.exists
            || self.dispatch.workspaces.refresh(&stream).await?.state.exists;
        if !exists {
            return Err(Problem::not_found("workspace"));
        }
        self.known.insert(workspace.clone());
        Ok(workspace)
    }

    /// The agent of this id, else of exactly this key, else the only active one whose key or name is spelt alike.
    pub(crate) async fn agent(&self, workspace: &Workspace, named: &str) -> Result<agent::Created, Problem> {
        let named = named.trim();
        for id in ids_of(workspace, named) {
            if let Some(profile) = self.agent_of_id(workspace, id).await? {
                return Ok(profile);
            }
        }
        let id = self.agent_spelt(workspace, named).await?;
        // The read model may be behind: the agent may be inactive or gone by now.
        let found = self.agent_of_id(workspace, id).await?;
        found.filter(|profile| profile.active).ok_or_else(|| Problem::not_found("agent"))
    }

    /// The id of the agent a list is filtered by, when one is named.
    pub(crate) async fn agent_filter(
        &self,
        workspace: &Workspace,
        named: Option<String>,
    ) -> Result<Option<AgentId>, Problem> {
        match named {
            Some(named) => Ok(Some(self.agent(workspace, &named).await?.agent_id)),
            None => Ok(None),
        }
    }

    /// The id of the agent meant, or of the one that was there under this id or key.
    pub(crate) async fn agent_id(&self, workspace: &Workspace, named: &str) -> Result<AgentId, Problem> {
        match self.agent(workspace, named).await {
            Ok(profile) => Ok(profile.agent_id),
            Err(problem) if problem.code == Code::NotFound => {
                ids_of(workspace, named.trim()).next().ok_or(problem)
            }
            Err(problem) => Err(problem),
        }
    }

    /// The agent as reads show it.
    pub(crate) async fn read_agent(&self, workspace: &Workspace, named: &str) -> Result<Object, Problem> {
        let named = named.trim();
        for id in ids_of(workspace, named) {
            if let Some(agent) = self.reads.agent(workspace, id).await? {
                return Ok(agent);
            }
        }
        let id = self.agent_spelt(workspace, named).await?;
        self.reads.agent(workspace, id).await?.ok_or_else(|| Problem::not_found("agent"))
    }

    /// The only active agent whose key or name is spelt alike.
    async fn agent_spelt(&self, workspace: &Workspace, named: &str) -> Result<AgentId, Problem> {
        let form = normal_form(named);
        if form.is_empty() {
            return Err(Problem::not_found("agent"));
        }
        let models = self.reads.models();
        let mut found = models.agents_of_form(workspace.as_str(), &form, CANDIDATES_MAX).await?;
        if found.is_empty() {
            // It may be on its way.
            self.wait_for_head().await?;
            found = models.agents_of_form(workspace.as_str(), &form, CANDIDATES_MAX).await?;
        }
        match found.as_slice() {
            [] => Err(Problem::not_found("agent")),
            [(id, _)] => Ok(*id),
            several => {
                let keys: Vec<&str> = several.iter().map(|(_, key)| key.as_str()).collect();
                let message = format!("{named:?} may mean {}: give a key or an id", keys.join(", "));
                Err(Problem::invalid_field("/agent_id", message))
            }
        }
    }

    async fn agent_of_id(
        &self,
        workspace: &Workspace,
        id: AgentId,
    ) -> Result<Option<agent::Created>, Problem> {
        let stream = agent_stream(workspace, id)?;
        let loaded = self.dispatch.agents.load(&stream).await?;
        if let Some(profile) = &loaded.state.profile {
            return Ok(Some(profile.clone()));
        }
        Ok(self.dispatch.agents.refresh(&stream).await?.state.profile.clone())
    }
}
