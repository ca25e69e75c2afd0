//! The configurations an agent had: by version, for workers and for readers of its tasks.

use std::sync::Arc;

use capstan_contract::AgentCodec;
use capstan_contract::lease::LeasedAttempt;
use capstan_contract::query::{GetAgentConfig, Wait};
use capstan_dispatch::read_events;
use capstan_domain::agent::{State, config_from};
use capstan_domain::agent_config::AgentConfig;
use capstan_domain::id::AgentId;
use capstan_domain::redaction::redact;
use capstan_domain::task::event::TaskAccepted;
use capstan_envelope::{Position, UnreadableCommit, Workspace};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::answer::Answer;
use super::{resolve, streams};
use crate::App;
use crate::answered::Answered;
use crate::app::past_configs::PastConfig;
use crate::problem::{Code, Problem};

/// A configuration of an agent.
#[derive(Serialize, JsonSchema)]
pub(crate) struct NumberedConfig {
    /// The agent.
    agent_id: AgentId,
    /// Number of the configuration, from 1.
    version: u64,
    /// The configuration, with secrets hidden.
    #[schemars(with = "Map<String, Value>")]
    config: Value,
}

impl Answer for GetAgentConfig {
    async fn answer(self, app: &App, workspace: &Workspace, _: Wait) -> Result<Answered, Problem> {
        let agent_id = resolve::agent_id(app, workspace, &self.agent_id).await?;
        let found = from(app, workspace, agent_id, self.version).await?;
        let found = found.filter(|(number, _)| *number == self.version);
        let (_, config) = found.ok_or_else(|| Problem::not_found("agent configuration"))?;
        let mut config = Value::Object(config);
        redact(&mut config);
        Ok(Answered::json(&NumberedConfig { agent_id, version: self.version, config }))
    }
}

/// Gives the attempt the configuration its task was accepted with, as the worker gets it, and its number. Where that is archived,
/// the worker gets the first one that is left, and the number of that: either the task was over when it was archived and
/// is continued, or it was accepted after the agent had a later one, by a process that did not know yet.
pub(super) async fn complete(app: &App, attempt: &mut LeasedAttempt) -> Result<(), Problem> {
    let workspace = Workspace::new(&attempt.workspace).map_err(|_| Problem::not_found("workspace"))?;
    let (agent_id, version) = (attempt.agent_id, attempt.agent_config_version);
    let briefed = |number, config: &Map<String, Value>| (number, AgentConfig::briefed(config));
    let briefed = of_task(app, &workspace, agent_id, version, briefed).await?;
    let lost = || Problem::new(Code::InternalError, "the configuration of the agent is not in the log");
    (attempt.agent_config_version, attempt.agent_config) = briefed.ok_or_else(lost)?;
    Ok(())
}

/// True when the configuration that the worker of the task was given lists the tool under `allowed_tools`. One that is not in the
/// log lists nothing.
pub(super) async fn lists(
    app: &App,
    workspace: &Workspace,
    task: &TaskAccepted,
    tool: &str,
) -> Result<bool, Problem> {
    let listed =
        |_, config: &Map<String, Value>| AgentConfig::allowed_tools(config).any(|listed| listed == tool);
    let found = of_task(app, workspace, task.agent_id, task.agent_config_version, listed).await?;
    Ok(found.unwrap_or(false))
}

/// What `read` takes of the configuration of this number, which a task in the log refers to, or of the one in its place: of the
/// agent as it is in memory, else of a past one.
async fn of_task<T>(
    app: &App,
    workspace: &Workspace,
    agent_id: AgentId,
    version: u64,
    read: impl FnOnce(u64, &Map<String, Value>) -> T,
) -> Result<Option<T>, Problem> {
    let stream = streams::agent(workspace, agent_id)?;
    let known = app.dispatch.agents.load(&stream).await?;
    if let Some(config) = known.state.config_of(version) {
        return Ok(Some(read(version, config)));
    }
    let past = if let Some(known) = app.past_configs.get(&stream, version) {
        known
    } else {
        let found = from(app, workspace, agent_id, version).await?;
        if let Some((number, _)) = found.as_ref().filter(|(number, _)| *number != version) {
            tracing::warn!(agent.id = %agent_id, version, number, "a task gets a later configuration: its own is archived");
        }
        let past =
            found.map_or(PastConfig::Gone, |(number, config)| PastConfig::Found(number, Arc::new(config)));
        app.past_configs.put(stream, version, past.clone());
        past
    };
    let PastConfig::Found(number, config) = past else {
        tracing::error!(
            agent.id = %agent_id, version, "the log does not hold the configuration of a task's agent"
        );
        return Ok(None);
    };
    Ok(Some(read(number, &config)))
}

/// The configuration of this number, from the agent's stream, or the first one that is left of those after it; with its number.
async fn from(
    app: &App,
    workspace: &Workspace,
    agent_id: AgentId,
    version: u64,
) -> Result<Option<(u64, Map<String, Value>)>, Problem> {
    let mut commits = app.log.read_stream(&streams::agent(workspace, agent_id)?, Position::START).await?;
    let mut begun = State::default();
    if commits.first().is_some_and(|first| first.commit.version > 1) {
        // Of an archived beginning only the last configuration is carried forward.
        let carried = commits.iter().position(|recorded| recorded.commit.carries_forward());
        commits.drain(..carried.unwrap_or(commits.len()));
        if let Some(first) = commits.first() {
            let unreadable = |source| UnreadableCommit { position: first.position, source };
            let carried = first.commit.carried().map_err(unreadable)?;
            begun =
                carried.map(|carried| carried.state()).transpose().map_err(unreadable)?.unwrap_or_default();
        }
    }
    let events = commits.iter().map(read_events::<AgentCodec>);
    let events = events.collect::<Result<Vec<_>, _>>()?.concat();
    Ok(config_from(begun, &events, version))
}
