//! Open tasks, written to the log as the product itself writes them.
//!
//! The commands of some tasks are decided on a log in memory; their commits then go to the real one in groups.

use std::sync::Arc;

use anyhow::Context;
use capstan_contract::{AgentCodec, TaskCodec};
use capstan_dispatch::{CommandContext, Dispatcher};
use capstan_domain::agent::{self, Agent};
use capstan_domain::id::{self, AttemptId, TaskId, WorkerId};
use capstan_domain::task::command::{
    Accept, AcceptAgentCommand, FinishAttempt, Lease, OpenBlocker, ReportedOutcome,
};
use capstan_domain::task::{Command, TaskDecider};
use capstan_envelope::{Actor, StreamId, Workspace};
use capstan_eventlog::{EventLog, MemoryLog};
use chrono::Utc;
use uuid::Uuid;

use super::Size;
use crate::bench::filler::created_agent;
use crate::bench::waves::{dispatcher, publish};

/// Tasks of one group, and groups under way.
const GROUP: usize = 250;
const GROUPS: usize = 8;
/// Bytes of messages in one group at most, so that it fits into few messages of the log.
const GROUP_BYTES: usize = 4 << 20;
/// A sleep that is not over during a measurement, in milliseconds.
const LONG_SLEEP_MS: i64 = 7 * 86_400_000;

/// What was written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seeded {
    /// Tasks whose sleep is over when the product starts.
    pub(super) due: usize,
    /// Tasks with a live attempt.
    pub(super) running: usize,
    commits: usize,
}

type Tasks = Dispatcher<TaskDecider, TaskCodec>;

/// Writes the tasks.
pub(super) async fn seed(log: &Arc<dyn EventLog>, size: Size) -> anyhow::Result<Seeded> {
    let workspaces = size.workspaces.max(1);
    let mut agents = Vec::with_capacity(workspaces);
    let dispatcher: Dispatcher<Agent, AgentCodec> = dispatcher(log);
    for number in 0..workspaces {
        agents.push(created_agent(&dispatcher, &format!("bench-{number:04}"), "demo").await?);
    }
    let group = GROUP.min(GROUP_BYTES / size.bytes.max(1)).max(1);
    let mut writers = tokio::task::JoinSet::new();
    let mut seeded = Seeded::default();
    // A group of commits stays inside one workspace.
    for (number, agent) in agents.into_iter().enumerate() {
        let of_it = size.tasks / workspaces + usize::from(number < size.tasks % workspaces);
        for first in (0..of_it).step_by(group) {
            while writers.len() >= GROUPS
                && let Some(written) = writers.join_next().await
            {
                seeded = seeded.and(written??);
            }
            let (log, agent) = (Arc::clone(log), agent.clone());
            let numbers = first..(first + group).min(of_it);
            writers.spawn(async move { write(&log, &agent, numbers, size.bytes).await });
        }
    }
    while let Some(written) = writers.join_next().await {
        seeded = seeded.and(written??);
    }
    Ok(seeded)
}

impl Seeded {
    fn and(self, other: Self) -> Self {
        Self {
            due: self.due + other.due,
            running: self.running + other.running,
            commits: self.commits + other.commits,
        }
    }
}

/// Writes a group of tasks of one workspace.
async fn write(
    log: &Arc<dyn EventLog>,
    agent: &agent::Created,
    numbers: std::ops::Range<usize>,
    bytes: usize,
) -> anyhow::Result<Seeded> {
    let memory = MemoryLog::new();
    let dispatcher: Tasks = dispatcher(&(Arc::new(memory.clone()) as Arc<dyn EventLog>));
    let mut seeded = Seeded::default();
    for number in numbers {
        decide(&dispatcher, agent, number, bytes, &mut seeded).await?;
    }
    seeded.commits = publish(&memory, log).await?;
    Ok(seeded)
}

/// Brings one task to where its number says.
async fn decide(
    dispatcher: &Tasks,
    agent: &agent::Created,
    number: usize,
    bytes: usize,
    seeded: &mut Seeded,
) -> anyhow::Result<()> {
    let task_id = TaskId(id::derived(&["bench-open", &agent.workspace, &number.to_string()]));
    let stream = StreamId::new(Workspace::new(&agent.workspace)?, "task", &task_id.to_string())?;
    let kind = number % 10;
    let is_due = number % 20 == 4;
    seeded.due += usize::from(is_due);
    let delay = match kind {
        4 | 5 if is_due => Some(1),
        4 | 5 => Some(LONG_SLEEP_MS),
        _ => None,
    };
    let command = AcceptAgentCommand {
        message: "x".repeat(bytes),
        dispatch_delay_ms: delay,
        // Ten tasks of a workspace share a conversation.
        session_id: (kind == 3).then(|| format!("conversation-{}", number / 100)),
        ..AcceptAgentCommand::default()
    };
    let accept = Command::Accept(Box::new(Accept::new(task_id, agent.clone(), command)));
    let accepted = execute(dispatcher, &stream, "accept-agent-command", accept).await?;
    if kind < 6 {
        return Ok(());
    }
    let run_id = accepted.context("an accepted task")?.current_run().context("a run")?.run_id;
    let worker_id = WorkerId(Uuid::nil());
    let lease = Lease { run_id, worker_id, worker_name: "bench".into(), lease_ms: 30_000 };
    execute(dispatcher, &stream, "lease-attempt", Command::Lease(lease)).await?;
    let attempt_id = AttemptId { workspace: agent.workspace.clone(), task: task_id, epoch: 1 };
    if kind >= 8 {
        seeded.running += 1;
        return Ok(());
    }
    let command = Box::new(OpenBlocker { summary: "Which one?".into(), ..OpenBlocker::default() });
    let ask = Command::OpenBlocker { command, attempt_id: attempt_id.clone(), fitting: Vec::new() };
    execute(dispatcher, &stream, "open-blocker", ask).await?;
    let command = Box::new(FinishAttempt::new(ReportedOutcome::Ok));
    execute(dispatcher, &stream, "finish-attempt", Command::Finish { command, attempt_id }).await?;
    Ok(())
}

async fn execute(
    dispatcher: &Tasks,
    stream: &StreamId,
    name: &'static str,
    command: Command,
) -> anyhow::Result<Option<Box<capstan_domain::task::Task>>> {
    let context = CommandContext::new(Uuid::now_v7(), name, Actor::System, Utc::now());
    let decided = dispatcher.execute(stream, &command.at(Utc::now()), &context).await?;
    Ok(decided.loaded.state.clone())
}
