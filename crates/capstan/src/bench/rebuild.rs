//! Read models from the log: rebuilt from scratch, and followed live.

use std::sync::Arc;
use std::time::{Duration, Instant};

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
use capstan_eventlog::{EventLog, JetStreamConfig, JetStreamLog};
use capstan_projections::{Projector, ProjectorConfig, ReadModels, Which, rebuild};
use chrono::Utc;
use uuid::Uuid;

use crate::bench::bed::Bed;
use crate::bench::limits;
use crate::bench::report::Sample;

/// Events one filled task has: accepted, run requested, leased, started, output, ended, run ended, done.
const EVENTS_PER_TASK: f64 = 8.0;
/// Rows one filled task makes: task, run, output and the stream's snapshot.
const ROWS_PER_TASK: usize = 4;
/// Tasks written at the same time.
const WRITERS: usize = 128;

/// One round on a log of its own: fill it, follow it live into one database, rebuild it into the same.
pub(super) async fn round(bed: &Bed, number: usize, tasks: usize) -> anyhow::Result<Vec<Sample>> {
    let prefix = format!("REBUILD{number}_");
    let log: Arc<dyn EventLog> = Arc::new(
        JetStreamLog::connect(JetStreamConfig {
            stream_prefix: Some(prefix.clone()),
            ..JetStreamConfig::new(bed.nats_url())
        })
        .await?,
    );
    fill(&log, tasks).await.context("fill the log")?;
    let events = tasks as f64 * EVENTS_PER_TASK;
    let read = ordered_read(&log).await?;
    let copy = limits::copy_rows(&bed.database_url(), tasks * ROWS_PER_TASK).await?;

    let database = format!("rebuild{number}");
    let url = fresh_database(&bed.database_url(), &database).await?;
    let read_models = ReadModels::connect(&url)?;
    read_models.migrate().await?;
    let end = log.head().await?;
    let started = Instant::now();
    let projector = Projector::start(log.clone(), read_models.clone(), ProjectorConfig::default());
    read_models.wait_for(end, Duration::from_mins(10)).await?;
    let live = events / started.elapsed().as_secs_f64();
    projector.stop().await;
    let before = read_models.digests().await?;

    let started = Instant::now();
    rebuild(&log, &read_models, &Which::All, &ProjectorConfig::default()).await?;
    let rebuilt = events / started.elapsed().as_secs_f64();
    anyhow::ensure!(read_models.digests().await? == before, "the rebuilt rows differ from the live ones");

    let raw_read = Sample::rate("raw ordered read, decoded to commits", "events/s", read * events);
    let raw_copy =
        Sample::rate("raw COPY of as many rows", "events/s", copy / ROWS_PER_TASK as f64 * EVENTS_PER_TASK);
    Ok(vec![
        Sample::rate("rebuild from scratch", "events/s", rebuilt).against(&raw_copy),
        Sample::rate("live projection, catching up", "events/s", live).against(&raw_copy),
        raw_read,
        raw_copy,
    ])
}

/// Reads the whole log once; answers the share of it read per second.
async fn ordered_read(log: &Arc<dyn EventLog>) -> anyhow::Result<f64> {
    let started = Instant::now();
    let mut tail = log.tail(capstan_eventlog::Selection::All, capstan_envelope::Position::START).await?;
    while !tail.next().await?.caught_up {}
    Ok(1.0 / started.elapsed().as_secs_f64())
}

async fn fresh_database(url: &str, name: &str) -> anyhow::Result<String> {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    client.batch_execute(&format!("CREATE DATABASE {name}")).await?;
    let (server, _) = url.rsplit_once('/').context("a database URL with a path")?;
    Ok(format!("{server}/{name}"))
}

type Tasks = Dispatcher<TaskDecider, TaskCodec>;

/// Writes finished tasks as the product itself would: through the deciders, with expected versions.
async fn fill(log: &Arc<dyn EventLog>, tasks: usize) -> anyhow::Result<()> {
    let workspace = Workspace::new("dev")?;
    let agents: Dispatcher<Agent, AgentCodec> =
        Dispatcher::new(log.clone(), Arc::new(NoSnapshots), DispatcherConfig::default());
    let agent_id = AgentId::from_key("dev", "demo");
    let demo =
        agent::CreateAgent { agent_key: "demo".into(), name: "Demo".into(), ..agent::CreateAgent::default() };
    let create = agent::Command::Create { workspace: "dev".into(), agent: Box::new(demo) };
    let create = Requested::new(create, Utc::now());
    let stream = StreamId::new(workspace.clone(), "agent", &agent_id.to_string())?;
    let created = agents.execute(&stream, &create, &context("create-agent", 0, 0)).await?;
    let agent = created.loaded.state.profile.clone().context("a created agent")?;

    let dispatcher: Arc<Tasks> =
        Arc::new(Dispatcher::new(log.clone(), Arc::new(NoSnapshots), DispatcherConfig::default()));
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let (dispatcher, workspace, agent) = (dispatcher.clone(), workspace.clone(), agent.clone());
        writers.spawn(async move {
            for number in (writer..tasks).step_by(WRITERS) {
                finished_task(&dispatcher, &workspace, &agent, number as u64).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(written) = writers.join_next().await {
        written??;
    }
    Ok(())
}

async fn finished_task(
    dispatcher: &Tasks,
    workspace: &Workspace,
    agent: &agent::Created,
    number: u64,
) -> anyhow::Result<()> {
    let task_id = TaskId(id::derived(&["bench", &number.to_string()]));
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
    let start = Command::Start { attempt_id: attempt_id.clone() }.at(Utc::now());
    dispatcher.execute(&stream, &start, &context("start", number, 3)).await?;
    let output = Command::ProduceOutput {
        command: Box::new(ProduceOutput {
            id: None,
            name: None,
            output_type: "report".into(),
            title: "Result".into(),
            summary: Some("What came of it".into()),
            uri: None,
            data: serde_json::Map::new(),
            metadata: serde_json::Map::new(),
            status: None,
        }),
        output_id: OutputId::from_name(task_id, "result"),
        attempt_id: Some(attempt_id.clone()),
    }
    .at(Utc::now());
    dispatcher.execute(&stream, &output, &context("output", number, 4)).await?;
    let report = FinishAttempt { exit_code: Some(0), ..FinishAttempt::new(ReportedOutcome::Ok) };
    let finish = Command::Finish { command: Box::new(report), attempt_id }.at(Utc::now());
    dispatcher.execute(&stream, &finish, &context("finish", number, 5)).await?;
    Ok(())
}

fn task(state: &State) -> anyhow::Result<&capstan_domain::task::Task> {
    state.as_deref().context("a task")
}

fn accept(task_id: TaskId, agent: &agent::Created, number: u64) -> Requested<Command> {
    let message = format!("bench {number} {}", "x".repeat(500));
    let command = AcceptAgentCommand { message, ..AcceptAgentCommand::default() };
    Command::Accept(Box::new(Accept::new(task_id, agent.clone(), command))).at(Utc::now())
}

fn context(command: &'static str, number: u64, step: u64) -> CommandContext {
    let command_id = id::derived(&["bench-command", &number.to_string(), &step.to_string()]);
    CommandContext::new(command_id, command, Actor::System, Utc::now())
}
