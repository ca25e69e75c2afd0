//! What the process wants done, as data.

use std::sync::Arc;

use capstan_domain::id::derived;
use capstan_domain::matching::StreamKey;
use capstan_domain::task::budget::Spending;
use capstan_domain::task::{Command, Task};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::classes::ClassOrder;
use super::family::Errand;
use super::schedules::{AgentCheck, ScheduleKey, TickOrder};
use super::tool_execution::ToolRequest;
use crate::protocol::Answer;

/// A request that waits for its answer, numbered in the order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// Something to be done outside.
#[expect(clippy::large_enum_variant, reason = "most effects are orders; a box for each would cost more")]
#[derive(Debug)]
pub enum Effect {
    /// Send a command to a task; report with [`Process::settled`](super::Process::settled).
    Execute(Order),
    /// Find out how a task stands; report with [`Process::loaded`](super::Process::loaded).
    Load(Arc<StreamKey>),
    /// Send a command to a class; report with [`Process::class_settled`](super::Process::class_settled).
    OrderClass(ClassOrder),
    /// Call a tool's endpoint; report with [`Process::tool_called`](super::Process::tool_called).
    CallTool(Box<ToolRequest>),
    /// Let a tick of a schedule happen; report with [`Process::schedule_seen`](super::Process::schedule_seen).
    Tick(Box<TickOrder>),
    /// See whether the agent of a schedule still takes commands; report with
    /// [`Process::schedule_seen`](super::Process::schedule_seen).
    CheckAgent(Box<AgentCheck>),
    /// Find out how a schedule stands; report with [`Process::schedule_seen`](super::Process::schedule_seen).
    LoadSchedule(Arc<ScheduleKey>),
    /// Answer a request.
    Answer(CallId, Answer),
}

/// A command to a task.
#[derive(Clone, Debug)]
pub struct Order {
    /// Which task.
    pub key: Arc<StreamKey>,
    /// The same for the same intention, whoever has it and however often.
    pub command_id: Uuid,
    /// The command's name in commit metadata.
    pub name: &'static str,
    /// The command.
    pub command: Command,
    /// A lease is given only on the very state it was picked on: whatever happened in between, the pick may have
    /// been wrong, and the reservation that keeps the session free may be gone.
    pub expected_version: Option<u64>,
    /// The lease request it is to answer.
    pub(super) ask: Option<CallId>,
    /// For whom it is carried out and why, when it is a relative of the task.
    pub(super) errand: Option<(Arc<StreamKey>, Errand)>,
    /// When it was given.
    pub at: DateTime<Utc>,
}

impl Order {
    pub(super) fn new(
        key: &Arc<StreamKey>,
        (version, task): (u64, &Task),
        command: Command,
        ask: Option<CallId>,
        at: DateTime<Utc>,
    ) -> Self {
        let (name, subject) = intention(&command);
        // The epoch and the number of runs tell apart equal timers of different lives of a task.
        let command_id = derived(&[
            "engine",
            name,
            &key.workspace,
            &key.task_id.to_string(),
            &task.epoch.to_string(),
            &task.runs.len().to_string(),
            &subject,
        ]);
        let expected_version = matches!(command, Command::Lease(_)).then_some(version);
        Self { key: Arc::clone(key), command_id, name, command, expected_version, ask, errand: None, at }
    }

    /// An order to a relative of the task `owner`, from the state the owner is in.
    pub(super) fn errand(
        target: &Arc<StreamKey>,
        owner: &Arc<StreamKey>,
        (task, errand): (&Task, Errand),
        command: Command,
        at: DateTime<Utc>,
    ) -> Self {
        let name = if errand == Errand::Tell { "child-ended" } else { "make-subtask" };
        // The epoch and the number of runs tell apart the ends of different lives of a child.
        let command_id = derived(&[
            "engine",
            name,
            &target.workspace,
            &target.task_id.to_string(),
            &owner.task_id.to_string(),
            &task.epoch.to_string(),
            &task.runs.len().to_string(),
        ]);
        let errand = Some((Arc::clone(owner), errand));
        Self {
            key: Arc::clone(target),
            command_id,
            name,
            command,
            expected_version: None,
            ask: None,
            errand,
            at,
        }
    }

    pub(super) fn is_about_tools(&self) -> bool {
        matches!(self.command, Command::StartToolCall(_) | Command::EndToolCall(_))
    }

    pub(super) fn is_lease(&self) -> bool {
        matches!(self.command, Command::Lease(_))
    }
}

/// The name of a command and what it is about.
fn intention(command: &Command) -> (&'static str, String) {
    match command {
        Command::Lease(lease) => ("lease-attempt", lease.worker_id.to_string()),
        Command::ExpireLease(expire) => ("expire-lease", expire.attempt_id.to_string()),
        Command::ReleaseAttempt(release) => ("release-attempt", release.attempt_id.to_string()),
        Command::TimeOutAttempt(time_out) => ("time-out-attempt", time_out.attempt_id.to_string()),
        Command::Wake(wake) => ("wake-task", wake.wake_at.to_rfc3339()),
        Command::ExpireQueue(expire) => ("expire-queue", expire.run_id.to_string()),
        Command::ExpireBlocker(expire) => ("expire-blocker", expire.blocker_id.to_string()),
        Command::PassDeadline(pass) => ("pass-deadline", pass.deadline.to_rfc3339()),
        Command::StopForBudget(stop) => {
            let Spending { scope, limit_usd, .. } = stop.spending;
            ("stop-for-budget", format!("{scope:?}/{limit_usd}"))
        }
        Command::WarnBudget(warn) => {
            let Spending { scope, limit_usd, .. } = warn.spending;
            ("warn-budget", format!("{scope:?}/{limit_usd}/{}", warn.at.date_naive()))
        }
        Command::LiftBudget(lift) => ("lift-budget", lift.blocker_id.to_string()),
        Command::StartToolCall(start) => {
            let who = start.worker_id.map(|worker| worker.to_string()).unwrap_or_default();
            ("start-tool-call", format!("{}/{}/{who}", start.tool_call_id, start.try_no))
        }
        Command::EndToolCall(end) => ("end-tool-call", format!("{}/{}", end.tool_call_id, end.try_no)),
        Command::Cancel(_) => ("cancel-with-parent", String::new()),
        Command::ParentHeard(_) => ("parent-heard", String::new()),
        Command::ChildEnded(ended) => ("child-missing", ended.task_id.to_string()),
        // Commands of callers and workers, which the engine never sends.
        _ => ("engine-command", String::new()),
    }
}
