//! Fills a log with finished tasks as the product itself would: through the deciders, with expected versions.

use std::ops::Range;
use std::sync::Arc;

use anyhow::Context;
use capstan_contract::{AgentCodec, TaskCodec};
use capstan_dispatch::{CommandContext, Dispatcher, DispatcherConfig, NoSnapshots};
use capstan_domain::Requested;
use capstan_domain::agent::Agent;
use capstan_domain::id::{AgentId, OutputId, TaskId, WorkerId};
use capstan_domain::task::command::{
    Accept, AcceptAgentCommand, Command, FinishAttempt, Lease, ProduceOutput, ReportedOutcome,
};
use capstan_domain::task::{State, TaskDecider};
use capstan_domain::{agent, id};
use capstan_envelope::{Actor, StreamId, Workspace};
use capstan_eventlog::EventLog;
use chrono::Utc;
use uuid::Uuid;

use crate::memory::MemoryBudget;

/// Tasks written at the same time.
const WRITERS: usize = 128;
/// Events one filled task has: accepted, run requested, leased, started, output, ended, run ended, done.
pub(super) const EVENTS_PER_TASK: f64 = 8.0;

type Tasks = Dispatcher<TaskDecider, TaskCodec>;

/// Writes finished tasks of one agent.
pub(super) struct Filler {
    dispatcher: Arc<Tasks>,
    workspace: Workspace,
    agent: agent::Created,
}

/// The id of the task with this number.
pub(super) fn task_id(number: usize) -> TaskId {
    TaskId(id::derived(&["bench", &number.to_string()]))
}

/// Creates an agent of this key with defaults in a workspace.
pub(super) async fn created_agent(
    dispatcher: &Dispatcher<Agent, AgentCodec>,
    workspace: &str,
    key: &str,
) -> anyhow::Result<agent::Created> {
    let demo =
        agent::CreateAgent { agent_key: key.into(), name: "Demo".into(), ..agent::CreateAgent::default() };
    let create = agent::Command::Create { workspace: workspace.into(), agent: Box::new(demo) };
    let id = AgentId::from_key(workspace, key).to_string();
    let stream = StreamId::new(Workspace::new(workspace)?, "agent", &id)?;
    let context = CommandContext::new(Uuid::now_v7(), "create-agent", Actor::System, Utc::now());
    let created = dispatcher.execute(&stream, &Requested::new(create, Utc::now()), &context).await?;
    created.loaded.state.profile.clone().context("a created agent")
}

impl Filler {
    /// Creates the agent.
    pub(super) async fn begin(log: &Arc<dyn EventLog>) -> anyhow::Result<Self> {
        let workspace = Workspace::new("dev")?;
        let config = DispatcherConfig::new(MemoryBudget::default().streams());
        let agents: Dispatcher<Agent, AgentCodec> =
            Dispatcher::new(log.clone(), Arc::new(NoSnapshots), config.clone());
        let agent = created_agent(&agents, workspace.as_str(), "demo").await?;
        let dispatcher = Arc::new(Dispatcher::new(log.clone(), Arc::new(NoSnapshots), config));
        Ok(Self { dispatcher, workspace, agent })
    }

    /// Writes the tasks with these numbers, each of which is written once.
    pub(super) async fn fill(&self, numbers: Range<usize>) -> anyhow::Result<()> {
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let Self { dispatcher, workspace, agent } = self;
            let (dispatcher, workspace, agent) = (dispatcher.clone(), workspace.clone(), agent.clone());
            let numbers = numbers.clone().skip(writer).step_by(WRITERS);
            writers.spawn(async move {
                for number in numbers {
                    finished_task(&dispatcher, &workspace, &agent, number).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(written) = writers.join_next().await {
            written??;
        }
        Ok(())
    }
}

async fn finished_task(
    dispatcher: &Tasks,
    workspace: &Workspace,
    agent: &agent::Created,
    number: usize,
) -> anyhow::Result<()> {
    let task_id = task_id(number);
    let stream = StreamId::new(workspace.clone(), "task", &task_id.to_string())?;
    let accepted =
        dispatcher.execute(&stream, &accept(task_id, agent, number), &context("accept", number, 1)).await?;
    let run_id = task(&accepted.loaded.state)?.current_run().context("a run")?.run_id;
    let lease = Command::Lease(Lease {
        run_id,
        worker_id: WorkerId(Uuid::nil()),
        worker_name: "bench".into(),
        lease_ms: 30_000,
    })
    .at(Utc::now());
    let leased = dispatcher.execute(&stream, &lease, &context("lease", number, 2)).await?;
    let attempt_id = task(&leased.loaded.state)?.live.as_ref().context("a live attempt")?.attempt_id.clone();
    let output = Command::ProduceOutput {
        command: Box::new(output()),
        fingerprint: String::new(),
        output_id: OutputId::from_name(task_id, "result"),
        attempt_id: Some(attempt_id.clone()),
    }
    .at(Utc::now());
    dispatcher.execute(&stream, &output, &context("output", number, 3)).await?;
    let report = FinishAttempt { exit_code: Some(0), ..FinishAttempt::new(ReportedOutcome::Ok) };
    let finish = Command::Finish { command: Box::new(report), attempt_id }.at(Utc::now());
    dispatcher.execute(&stream, &finish, &context("finish", number, 4)).await?;
    Ok(())
}

fn task(state: &State) -> anyhow::Result<&capstan_domain::task::Task> {
    state.as_deref().context("a task")
}

fn accept(task_id: TaskId, agent: &agent::Created, number: usize) -> Requested<Command> {
    let message = format!("bench {number} {}", "x".repeat(500));
    let command = AcceptAgentCommand { message, ..AcceptAgentCommand::default() };
    Command::Accept(Box::new(Accept::new(task_id, agent.clone(), command))).at(Utc::now())
}

fn context(command: &'static str, number: usize, step: u64) -> CommandContext {
    let command_id = id::derived(&["bench-command", &number.to_string(), &step.to_string()]);
    CommandContext::new(command_id, command, Actor::System, Utc::now())
}

/// The output of a task whose run is over.
pub(super) fn output() -> ProduceOutput {
    ProduceOutput {
        id: None,
        name: None,
        output_type: "report".into(),
        title: "Result".into(),
        summary: Some("What came of it".into()),
        uri: None,
        data: serde_json::Map::new(),
        metadata: serde_json::Map::new(),
        status: None,
    }
}
