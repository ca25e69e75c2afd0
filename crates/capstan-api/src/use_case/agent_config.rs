//! The configurations an agent had: by version, for workers and for readers of its tasks.

use capstan_contract::AgentCodec;
use capstan_contract::lease::LeasedAttempt;
use capstan_contract::query::{GetAgentConfig, Wait};
use capstan_dispatch::read_events;
use capstan_domain::agent::{State, config_in};
use capstan_domain::agent_config::AgentConfig;
use capstan_domain::id::AgentId;
use capstan_domain::redaction::redact;
use capstan_envelope::{Position, UnreadableCommit, Workspace};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::answer::Answer;
use super::{resolve, streams};
use crate::App;
use crate::answered::Answered;
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
        let found = numbered(app, workspace, agent_id, self.version).await?;
        let config = found.ok_or_else(|| Problem::not_found("agent configuration"))?;
        let mut config = Value::Object(config);
        redact(&mut config);
        Ok(Answered::json(&NumberedConfig { agent_id, version: self.version, config }))
    }
}

/// Gives the attempt the configuration its task was accepted with, as the worker gets it.
pub(super) async fn complete(app: &App, attempt: &mut LeasedAttempt) -> Result<(), Problem> {
    let workspace = Workspace::new(&attempt.workspace).map_err(|_| Problem::not_found("workspace"))?;
    let version = attempt.agent_config_version;
    let known = app.dispatch.agents.load(&streams::agent(&workspace, attempt.agent_id)?).await?;
    let config = match known.state.config_of(version) {
        Some(config) => config.clone(),
        None => numbered(app, &workspace, attempt.agent_id, version).await?.ok_or_else(|| lost(attempt))?,
    };
    attempt.agent_config = AgentConfig::briefed(&config);
    Ok(())
}

/// The log does not hold what an acceptance in it refers to.
fn lost(attempt: &LeasedAttempt) -> Problem {
    tracing::error!(
        agent.id = %attempt.agent_id, task.id = %attempt.task_id, version = attempt.agent_config_version,
        "the log does not hold the configuration of a task's agent"
    );
    Problem::new(Code::InternalError, "the configuration of the agent is not in the log")
}

/// The configuration of this number, from the agent's stream.
async fn numbered(
    app: &App,
    workspace: &Workspace,
    agent_id: AgentId,
    version: u64,
) -> Result<Option<Map<String, Value>>, Problem> {
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
    Ok(config_in(begun, &events, version))
}
