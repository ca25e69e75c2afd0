//! Tasks with texts like those of people, written to the log as the product itself writes them.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context;
use capstan_contract::{AgentCodec, TaskCodec, WorkspaceCodec};
use capstan_dispatch::{CommandContext, Dispatcher};
use capstan_domain::agent::{self, Agent};
use capstan_domain::id::{self, AttemptId, OutputId, TaskId, WorkerId};
use capstan_domain::task::command::{
    Accept, AcceptAgentCommand, FinishAttempt, Lease, OpenBlocker, ReportedOutcome,
};
use capstan_domain::task::{Command, TaskDecider};
use capstan_domain::{Requested, workspace};
use capstan_envelope::{Actor, Codec as _, StreamId, Workspace};
use capstan_eventlog::{EventLog, MemoryLog};
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::Size;
use crate::bench::filler::{created_agent, output};
use crate::bench::waves;

/// Tasks of one group, and groups under way.
const GROUP: usize = 250;
const GROUPS: usize = 8;
/// Tasks of a small workspace that follow each other, but for those of the large one between them.
const TOGETHER: usize = 25;
/// Agents of the large workspace; each other one has one.
const AGENTS: usize = 8;
/// Words a message is made of, the frequent ones first.
const WORDS: u64 = 20_000;
/// Bytes of a message, about.
const MESSAGE_BYTES: usize = 512;
/// A word of one task in so many, in all of the log.
const RARE: usize = 20_000;

/// What was written.
#[derive(Debug)]
pub(super) struct Seeded {
    /// The workspace with half of the tasks.
    pub(super) large: String,
    /// The others.
    pub(super) small: Vec<String>,
    /// Agents of the large one.
    pub(super) agents: Vec<String>,
    /// Some of its tasks that are done.
    pub(super) done: Vec<TaskId>,
    /// Times between which the middle third of the tasks was made.
    pub(super) middle: (DateTime<Utc>, DateTime<Utc>),
    pub(super) commits: usize,
}

type Tasks = Dispatcher<TaskDecider, TaskCodec>;

/// A task of the measurement.
#[derive(Clone)]
struct Task {
    agent: agent::Created,
    /// Number among all tasks: the order of their times.
    number: usize,
    at: DateTime<Utc>,
    /// Its part of the way from the oldest task to the newest.
    age: f64,
}

fn task_id(number: usize) -> TaskId {
    TaskId(id::derived(&["bench-reads", &number.to_string()]))
}

fn chance(seed: u64) -> u64 {
    // The finalizer of MurmurHash3.
    let mixed = (seed ^ (seed >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}

/// The word with this number.
pub(super) fn word(number: u64) -> String {
    const SYLLABLES: [&str; 24] = [
        "ba", "ter", "con", "pro", "de", "mo", "ver", "ing", "tion", "al", "is", "or", "ment", "su", "per",
        "no", "st", "ra", "le", "ex", "un", "ge", "ch", "ou",
    ];
    let mut rest = chance(number);
    let mut word = String::new();
    for _ in 0..2 + rest % 3 {
        rest /= 3;
        word.push_str(SYLLABLES[(rest % 24) as usize]);
        rest /= 24;
    }
    word
}

/// A message of words as frequent as in a language: the second one half as often as the first, and so on.
fn message(task: &Task) -> String {
    let mut message = format!("Report {}: ", task.number);
    let mut seed = chance(task.number as u64);
    while message.len() < MESSAGE_BYTES {
        seed = chance(seed.wrapping_add(1));
        let share = (seed >> 11) as f64 / (1_u64 << 53) as f64;
        message.push_str(&word((WORDS as f64).powf(share) as u64));
        message.push(' ');
    }
    if task.number.is_multiple_of(RARE) {
        message.push_str("Überraschung ");
    }
    if task.age < 0.1 {
        message.push_str("bygone");
    }
    message
}

/// Writes the tasks, the oldest first.
pub(super) async fn seed(log: &Arc<dyn EventLog>, size: Size) -> anyhow::Result<Seeded> {
    let dispatcher: Dispatcher<Agent, AgentCodec> = waves::dispatcher(log);
    let workspaces: Dispatcher<workspace::Workspace, WorkspaceCodec> = waves::dispatcher(log);
    let name = |number: usize| format!("bench-{number:04}");
    for number in 0..size.workspaces {
        create_workspace(&workspaces, name(number)).await?;
    }
    let (mut large, mut small) = (Vec::new(), Vec::new());
    for number in 0..AGENTS {
        large.push(created_agent(&dispatcher, &name(0), &format!("agent-{number}")).await?);
    }
    for number in 1..size.workspaces {
        small.push(created_agent(&dispatcher, &name(number), "agent-0").await?);
    }
    let begin = Utc::now() - TimeDelta::seconds(size.tasks as i64);
    let at = |number: usize| begin + TimeDelta::seconds(number as i64);
    let task = |number: usize| {
        let of = number / 2;
        let agent = if number.is_multiple_of(2) {
            &large[of % large.len()]
        } else {
            &small[of / TOGETHER % small.len()]
        };
        Task { agent: agent.clone(), number, at: at(number), age: number as f64 / size.tasks as f64 }
    };
    let mut writers = tokio::task::JoinSet::new();
    let mut commits = 0;
    for first in (0..size.tasks).step_by(GROUP) {
        while writers.len() >= GROUPS
            && let Some(written) = writers.join_next().await
        {
            commits += written??;
        }
        let tasks: Vec<Task> = (first..(first + GROUP).min(size.tasks)).map(task).collect();
        let log = Arc::clone(log);
        writers.spawn(async move { write(&log, tasks).await });
    }
    while let Some(written) = writers.join_next().await {
        commits += written??;
    }
    let is_done = |number: &usize| number.is_multiple_of(2) && number % 20 < 14;
    Ok(Seeded {
        large: name(0),
        small: (1..size.workspaces).map(name).collect(),
        agents: large.iter().map(|agent| agent.agent_id.to_string()).collect(),
        done: (0..size.tasks).filter(is_done).step_by(97).map(task_id).collect(),
        middle: (at(size.tasks / 3), at(size.tasks * 2 / 3)),
        commits,
    })
}

async fn create_workspace(
    workspaces: &Dispatcher<workspace::Workspace, WorkspaceCodec>,
    name: String,
) -> anyhow::Result<()> {
    let stream = StreamId::new(Workspace::new(&name)?, WorkspaceCodec::CATEGORY, &name)?;
    let create = workspace::CreateWorkspace { workspace: name, display_name: None };
    let create = Requested::new(workspace::Command::Create(create), Utc::now());
    let context = CommandContext::new(Uuid::now_v7(), "create-workspace", Actor::System, Utc::now());
    workspaces.execute(&stream, &create, &context).await?;
    Ok(())
}

/// Writes a group of tasks.
async fn write(log: &Arc<dyn EventLog>, tasks: Vec<Task>) -> anyhow::Result<usize> {
    let memory = MemoryLog::new();
    let in_memory: Arc<dyn EventLog> = Arc::new(memory.clone());
    let dispatcher: Tasks = waves::dispatcher(&in_memory);
    for task in &tasks {
        decide(&dispatcher, task).await?;
    }
    waves::publish(&memory, log).await
}

/// The command of a task: of ten in each workspace, one is urgent, one is labelled for its team, and the old fifth for its batch.
fn command(task: &Task) -> AcceptAgentCommand {
    let kind = task.number / 2 % 10;
    let mut labels = BTreeMap::new();
    if kind == 3 {
        labels.insert("team".to_owned(), format!("t{}", chance(task.number as u64) % 50));
    }
    if task.age < 0.2 {
        labels.insert("batch".to_owned(), "first".to_owned());
    }
    AcceptAgentCommand {
        message: message(task),
        label: (kind == 4).then(|| format!("Case {}", task.number % 1_000)),
        labels,
        priority: (kind == 5).then(|| "urgent".to_owned()),
        session_id: (kind == 6).then(|| format!("conversation-{}", task.number / 1_000)),
        ..AcceptAgentCommand::default()
    }
}

/// Brings one task to where its number says.
async fn decide(dispatcher: &Tasks, task: &Task) -> anyhow::Result<()> {
    let Task { agent, number, at, .. } = task;
    let (task_id, kind) = (task_id(*number), number / 2 % 10);
    let stream = StreamId::new(Workspace::new(&agent.workspace)?, "task", &task_id.to_string())?;
    let execute = async |name: &'static str, later: i64, command: Command| {
        let at = *at + TimeDelta::seconds(later);
        let context = CommandContext::new(Uuid::now_v7(), name, Actor::System, at);
        anyhow::Ok(dispatcher.execute(&stream, &command.at(at), &context).await?.loaded.state.clone())
    };
    let accept = Command::Accept(Box::new(Accept::new(task_id, agent.clone(), command(task))));
    let accepted = execute("accept-agent-command", 0, accept).await?;
    if kind == 9 {
        return Ok(());
    }
    let run_id = accepted.context("an accepted task")?.current_run().context("a run")?.run_id;
    let worker_id = WorkerId(Uuid::nil());
    let lease = Lease { run_id, worker_id, worker_name: "bench".into(), lease_ms: 30_000 };
    execute("lease-attempt", 1, Command::Lease(lease)).await?;
    let attempt_id = AttemptId { workspace: agent.workspace.clone(), task: task_id, epoch: 1 };
    let outcome = if kind == 7 { ReportedOutcome::Error } else { ReportedOutcome::Ok };
    if kind == 8 {
        let command = Box::new(OpenBlocker { summary: "Which one?".into(), ..OpenBlocker::default() });
        let ask = Command::OpenBlocker { command, attempt_id: attempt_id.clone(), fitting: Vec::new() };
        execute("open-blocker", 2, ask).await?;
    } else if kind < 5 {
        let command = Box::new(output());
        let output_id = OutputId::from_name(task_id, "result");
        let (attempt_id, fingerprint) = (Some(attempt_id.clone()), String::new());
        let produce = Command::ProduceOutput { command, fingerprint, output_id, attempt_id };
        execute("produce-output", 2, produce).await?;
    }
    let command = Box::new(FinishAttempt::new(outcome));
    execute("finish-attempt", 3, Command::Finish { command, attempt_id }).await?;
    Ok(())
}
