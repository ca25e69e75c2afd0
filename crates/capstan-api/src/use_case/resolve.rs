//! Resolves what a caller names: a workspace, an agent, the task of a run or of an output.

use std::sync::Arc;

use capstan_dispatch::Loaded;
use capstan_domain::agent;
use capstan_domain::agent::AgentForTask;
use capstan_domain::agent::lookup::normal_form;
use capstan_domain::id::{AgentId, TaskId};
use capstan_domain::task::Task;
use capstan_domain::workspace;
use capstan_envelope::Workspace;
use capstan_projections::PartOfTask;

use super::{streams, wait};
use crate::App;
use crate::answered::Answered;
use crate::problem::{Code, Problem};

/// Agents listed when a name is ambiguous.
const CANDIDATES_MAX: i64 = 10;

/// The workspace of this name, if it exists.
pub(crate) async fn workspace(app: &App, name: &str) -> Result<Workspace, Problem> {
    let workspace = Workspace::new(name).map_err(|_| Problem::not_found("workspace"))?;
    if app.known.contains(&workspace) {
        return Ok(workspace);
    }
    let stream = streams::workspace(&workspace)?;
    // The cached state may be older than the workspace.
    let exists = app.dispatch.workspaces.load(&stream).await?.state.exists
        || app.dispatch.workspaces.refresh(&stream).await?.state.exists;
    if !exists {
        return Err(Problem::not_found("workspace"));
    }
    app.known.insert(workspace.clone());
    Ok(workspace)
}

/// A name for a new workspace.
pub(crate) fn new_workspace(name: &str) -> Result<Workspace, Problem> {
    Workspace::new(name)
        .map_err(|_| Problem::invalid_field("/workspace", "must be 1 to 128 of A-Z a-z 0-9 _ -"))
}

/// The workspace as this process has it cached.
pub(super) async fn workspace_state(
    app: &App,
    workspace: &Workspace,
) -> Result<Arc<Loaded<workspace::State>>, Problem> {
    Ok(app.dispatch.workspaces.load(&streams::workspace(workspace)?).await?)
}

/// The agent with this id, else with exactly this key, else the only active one with a similar key or name.
pub(crate) async fn agent(app: &App, workspace: &Workspace, named: &str) -> Result<agent::Created, Problem> {
    let state = &agent_state(app, workspace, named).await?.state;
    state.profile.clone().ok_or_else(|| Problem::not_found("agent"))
}

/// That agent, for a task accepted now.
pub(crate) async fn agent_for_task(
    app: &App,
    workspace: &Workspace,
    named: &str,
) -> Result<AgentForTask, Problem> {
    let state = &agent_state(app, workspace, named).await?.state;
    state.for_task().ok_or_else(|| Problem::not_found("agent"))
}

/// That agent, which is there.
pub(crate) async fn agent_state(
    app: &App,
    workspace: &Workspace,
    named: &str,
) -> Result<Arc<Loaded<agent::State>>, Problem> {
    let named = named.trim();
    if named.is_empty() {
        return Err(Problem::invalid_field("/agent_id", "must not be blank"));
    }
    for id in ids_of(workspace, named) {
        let loaded = agent_of_id(app, workspace, id).await?;
        if loaded.state.profile.is_some() {
            return Ok(loaded);
        }
    }
    let id = similar_agent(app, workspace, named).await?;
    // The read models may be behind: the agent may be inactive or deleted by now.
    let found = agent_of_id(app, workspace, id).await?;
    let is_active = found.state.profile.as_ref().is_some_and(|profile| profile.active);
    if is_active { Ok(found) } else { Err(Problem::not_found("agent")) }
}

/// The id of the agent a list is filtered by, when one is named.
pub(crate) async fn agent_filter(
    app: &App,
    workspace: &Workspace,
    named: Option<String>,
) -> Result<Option<AgentId>, Problem> {
    match named {
        Some(named) => Ok(Some(agent(app, workspace, &named).await?.agent_id)),
        None => Ok(None),
    }
}

/// The id of the agent named, which may have been deleted.
pub(super) async fn agent_id(app: &App, workspace: &Workspace, named: &str) -> Result<AgentId, Problem> {
    match agent(app, workspace, named).await {
        Ok(profile) => Ok(profile.agent_id),
        Err(problem) if problem.code == Code::NotFound => {
            ids_of(workspace, named.trim()).next().ok_or(problem)
        }
        Err(problem) => Err(problem),
    }
}

/// The agent as the read models have it.
pub(crate) async fn read_agent(app: &App, workspace: &Workspace, named: &str) -> Result<Answered, Problem> {
    let named = named.trim();
    for id in ids_of(workspace, named) {
        if let Some(agent) = app.reads.one(workspace, &id).await? {
            return Ok(agent.into());
        }
    }
    let id = similar_agent(app, workspace, named).await?;
    app.reads.get(workspace, &id, "agent").await
}

/// The ids a name may stand for: itself, and that of the agent with exactly this key.
fn ids_of(workspace: &Workspace, named: &str) -> impl Iterator<Item = AgentId> + use<> {
    let by_key = (!named.is_empty()).then(|| AgentId::from_key(workspace.as_str(), named));
    named.parse().ok().into_iter().chain(by_key)
}

/// The only active agent with a similar key or name.
async fn similar_agent(app: &App, workspace: &Workspace, named: &str) -> Result<AgentId, Problem> {
    let form = normal_form(named);
    if form.is_empty() {
        return Err(Problem::not_found("agent"));
    }
    let models = app.reads.models();
    let mut found = models.agents_by_form(workspace.as_str(), &form, CANDIDATES_MAX).await?;
    if found.is_empty() {
        // It may have been created just now.
        wait::for_head(app).await?;
        found = models.agents_by_form(workspace.as_str(), &form, CANDIDATES_MAX).await?;
    }
    match found.as_slice() {
        [] => Err(Problem::not_found("agent")),
        [(id, _)] => Ok(*id),
        several => {
            let keys: Vec<&str> = several.iter().map(|(_, key)| key.as_str()).collect();
            let message = format!("{named:?} is ambiguous: {}; give a key or an id", keys.join(", "));
            Err(Problem::invalid_field("/agent_id", message))
        }
    }
}

async fn agent_of_id(
    app: &App,
    workspace: &Workspace,
    id: AgentId,
) -> Result<Arc<Loaded<agent::State>>, Problem> {
    let stream = streams::agent(workspace, id)?;
    let loaded = app.dispatch.agents.load(&stream).await?;
    if loaded.state.profile.is_some() {
        return Ok(loaded);
    }
    Ok(app.dispatch.agents.refresh(&stream).await?)
}

/// The task as decisions see it; the cached state may be a little behind the log.
pub(super) async fn task(app: &App, workspace: &Workspace, task_id: TaskId) -> Result<Box<Task>, Problem> {
    let stream = streams::task(workspace, task_id)?;
    if let Some(task) = &app.dispatch.tasks.load(&stream).await?.state {
        return Ok(task.clone());
    }
    let task = app.dispatch.tasks.refresh(&stream).await?.state.clone();
    task.ok_or_else(|| Problem::not_found("task"))
}

/// Refuses a task that does not exist in this workspace.
pub(crate) async fn existing_task(app: &App, workspace: &Workspace, task_id: TaskId) -> Result<(), Problem> {
    task(app, workspace, task_id).await.map(|_| ())
}

/// The task a run or an output belongs to. A part the read models do not have may be new: they are waited for once.
pub(crate) async fn task_of(
    app: &App,
    workspace: &Workspace,
    part: &impl PartOfTask,
    what: &str,
) -> Result<TaskId, Problem> {
    let models = app.reads.models();
    if let Some(task_id) = models.task_of(workspace.as_str(), part).await? {
        return Ok(task_id);
    }
    wait::for_head(app).await?;
    models.task_of(workspace.as_str(), part).await?.ok_or_else(|| Problem::not_found(what))
}
