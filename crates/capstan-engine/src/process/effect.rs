//! Effects: work the process wants done outside, as data. Every part pushes them; none of them knows a part.

use std::collections::BTreeMap;
use std::sync::Arc;

use capstan_contract::{ClassCodec, ScheduleCodec};
use capstan_domain::id::{AgentId, ScheduleId, TaskId, ToolCallId, derived};
use capstan_domain::matching::StreamKey;
use capstan_domain::schedule::Overlap;
use capstan_domain::task::Command;
use capstan_domain::task::spending::Spending;
use capstan_domain::{Requested, class};
use capstan_envelope::{Codec as _, StreamId};
use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::protocol::Answer;

/// A request that waits for its answer, numbered in the order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// Work to be done outside the process.
#[expect(clippy::large_enum_variant, reason = "most effects are orders; a box for each would cost more")]
#[derive(Debug)]
pub enum Effect {
    /// Sends a command to a task; report with `Process::settled`.
    Execute(Order),
    /// Reads a task from the log; report with `Process::loaded`.
    Load(StreamKey),
    /// Sends a command to a class; report with `Process::class_settled`.
    OrderClass(ClassOrder),
    /// Calls a tool's endpoint; report with `Process::tool_called`.
    CallTool(Box<ToolRequest>),
    /// Records a tick of a schedule; report with `Process::schedule_settled`.
    Tick(Box<TickOrder>),
    /// Pauses a schedule if its agent no longer takes commands; report with
    /// `Process::schedule_settled`.
    CheckAgent(Box<AgentCheck>),
    /// Reads a schedule from the log; report with `Process::schedule_settled`.
    LoadSchedule(Arc<ScheduleKey>),
    /// Answers a request.
    Answer(CallId, Answer),
}

/// A command to a task.
#[derive(Clone, Debug)]
pub struct Order {
    /// The task.
    pub key: StreamKey,
    /// Deterministic: retries and new leaders derive the same id.
    pub command_id: Uuid,
    /// The command's name in commit metadata.
    pub name: &'static str,
    /// The command, with the time it was given.
    pub command: Requested<Command>,
    /// Set for leases: a lease is valid only for the version it was picked on. After any other commit the pick may be
    /// wrong, and the reservation that keeps the session free may be gone.
    pub expected_version: Option<u64>,
    /// The request it answers: a lease request or a poll for tool calls.
    pub(super) request: Option<CallId>,
    /// The task it is sent for and the reason, when that is another task than `key`.
    pub(super) follow_up: Option<(StreamKey, FollowUp)>,
}

/// The reason for a command to a related task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FollowUp {
    /// Creates this child.
    CreateChild(TaskId),
    /// Reports the end of a child to its parent.
    ReportEnd,
}

/// The recorded facts that tell equal intentions of different lives of a task apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Revision {
    /// The task's version.
    pub(super) version: u64,
    /// The last lease epoch.
    pub(super) epoch: u64,
    /// The number of its runs.
    pub(super) runs: u32,
}

impl Order {
    /// An order to the task; none for a command that is no business of the engine.
    pub(super) fn new(
        key: &StreamKey,
        revision: Revision,
        command: Command,
        request: Option<CallId>,
        at: DateTime<Utc>,
    ) -> Option<Self> {
        let (name, subject) = intention(&command, at)?;
        let command_id = derived(&[
            "engine",
            name,
            &key.workspace,
            &key.task_id.to_string(),
            &revision.epoch.to_string(),
            &revision.runs.to_string(),
            &subject,
        ]);
        let expected_version = matches!(command, Command::Lease(_)).then_some(revision.version);
        let (key, command) = (key.clone(), command.at(at));
        Some(Self { key, command_id, name, command, expected_version, request, follow_up: None })
    }

    /// A command to `target`, a relative of the task `owner`, from the owner's `revision`.
    pub(super) fn follow_up(
        target: StreamKey,
        owner: &StreamKey,
        revision: Revision,
        (follow_up, command): (FollowUp, Command),
        at: DateTime<Utc>,
    ) -> Self {
        let name = match follow_up {
            FollowUp::CreateChild(_) => "make-subtask",
            FollowUp::ReportEnd => "child-ended",
        };
        let command_id = derived(&[
            "engine",
            name,
            &target.workspace,
            &target.task_id.to_string(),
            &owner.task_id.to_string(),
            &revision.epoch.to_string(),
            &revision.runs.to_string(),
        ]);
        Self {
            key: target,
            command_id,
            name,
            command: command.at(at),
            expected_version: None,
            request: None,
            follow_up: Some((owner.clone(), follow_up)),
        }
    }

    /// True when a worker waits for its outcome.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.request.is_some()
    }

    pub(super) fn is_about_tools(&self) -> bool {
        matches!(self.command.command, Command::StartToolCall(_) | Command::EndToolCall(_))
    }

    pub(super) fn is_lease(&self) -> bool {
        matches!(self.command.command, Command::Lease(_))
    }
}

/// The name of a command of the engine, and its subject within the task; none for any other.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a command without a name is never sent, and its test fails"
)]
fn intention(command: &Command, at: DateTime<Utc>) -> Option<(&'static str, String)> {
    Some(match command {
        Command::Lease(lease) => ("lease-attempt", lease.worker_id.to_string()),
        Command::Start(start) => ("start-attempt", start.attempt_id.to_string()),
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
            ("warn-budget", format!("{scope:?}/{limit_usd}/{}", at.date_naive()))
        }
        Command::LiftBudget(lift) => ("lift-budget", lift.blocker_id.to_string()),
        Command::StartToolCall(start) => {
            let worker = start.worker_id.map(|worker| worker.to_string()).unwrap_or_default();
            ("start-tool-call", format!("{}/{}/{worker}", start.tool_call_id, start.try_no))
        }
        Command::EndToolCall(end) => ("end-tool-call", format!("{}/{}", end.tool_call_id, end.try_no)),
        Command::Cancel { .. } => ("cancel-with-parent", String::new()),
        Command::ParentHeard(_) => ("parent-heard", String::new()),
        Command::ChildEnded(ended) => ("child-missing", ended.task_id.to_string()),
        // Commands of callers and workers. One that the engine is to send needs its line above.
        _ => return None,
    })
}

/// The name of an execution class.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassKey {
    /// Its workspace.
    pub workspace: Arc<str>,
    /// Its key inside the workspace.
    pub instance_key: Arc<str>,
}

impl ClassKey {
    /// The class a stream holds; `None` for streams of other categories.
    pub fn from_stream(stream: &StreamId) -> Option<Self> {
        (stream.category() == ClassCodec::CATEGORY)
            .then(|| Self { workspace: stream.workspace().as_str().into(), instance_key: stream.id().into() })
    }
}

/// A command to a class.
#[derive(Clone, Debug)]
pub struct ClassOrder {
    /// The class.
    pub key: ClassKey,
    /// Deterministic: retries and new leaders derive the same id.
    pub command_id: Uuid,
    /// The command's name in commit metadata.
    pub name: &'static str,
    /// The command, and the time it was given.
    pub command: Requested<class::Command>,
}

/// The name of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScheduleKey {
    /// Its workspace.
    pub workspace: String,
    /// The schedule.
    pub schedule_id: ScheduleId,
}

impl ScheduleKey {
    /// The schedule a stream holds; `None` for streams of other categories.
    pub fn from_stream(stream: &StreamId) -> Option<Self> {
        if stream.category() != ScheduleCodec::CATEGORY {
            return None;
        }
        let schedule_id = stream.id().parse().ok()?;
        Some(Self { workspace: stream.workspace().as_str().to_owned(), schedule_id })
    }
}

/// A tick that is due.
#[derive(Clone, Debug)]
pub struct TickOrder {
    /// The schedule.
    pub key: Arc<ScheduleKey>,
    /// Deterministic: retries and new leaders derive the same id for the same tick.
    pub command_id: Uuid,
    /// The agent that receives the schedule's message.
    pub agent_id: AgentId,
    /// The effect of an open task on the tick.
    pub overlap: Overlap,
    /// The time of the tick.
    pub tick: DateTime<Utc>,
    /// Tasks of the schedule that may be open.
    pub open_task_ids: Vec<TaskId>,
    /// The time it was given.
    pub at: DateTime<Utc>,
}

/// A check of a schedule's agent, which has changed and may no longer take commands.
#[derive(Clone, Debug)]
pub struct AgentCheck {
    /// The schedule.
    pub key: Arc<ScheduleKey>,
    /// Deterministic: retries and new leaders derive the same id for the same change.
    pub command_id: Uuid,
    /// The agent that changed.
    pub agent_id: AgentId,
    /// The time it was given.
    pub at: DateTime<Utc>,
}

/// A call to an HTTP endpoint of a workspace.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolRequest {
    /// The task.
    pub key: StreamKey,
    /// The call; also the idempotency key.
    pub tool_call_id: ToolCallId,
    /// The number of the try, from 1.
    pub try_no: u32,
    /// The address the call is posted to.
    pub url: String,
    /// Headers as configured: values may name variables of the environment.
    pub headers: BTreeMap<String, String>,
    /// Longest duration, in milliseconds.
    pub timeout_ms: u32,
    /// The JSON body.
    pub body: Value,
}
