//! The requests a task takes. Each carries its time and every fresh id it may need.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::id::{AttemptId, InputId, OutputId, RunId, TaskId, WorkerId};
use crate::outcome_text::ErrorClass;
use crate::policy::RunPolicy;
use crate::task::event::{AgendaItem, OutputStatus, ParentClose, Question};
use crate::usage::Usage;
use crate::{agent, task::event::AttemptOutcome};

/// A request to a task.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each variant is documented at its struct")]
pub enum Command {
    Accept(Box<Accept>),
    SubmitInput(SubmitInput),
    Cancel(Cancel),
    CancelRun(CancelRun),
    Wake(Wake),
    Lease(Lease),
    Start(Start),
    ExpireLease(ExpireLease),
    ReleaseAttempt(ReleaseAttempt),
    TimeOutAttempt(TimeOutAttempt),
    ExpireQueue(ExpireQueue),
    PassDeadline(PassDeadline),
    Finish(Box<Finish>),
    OpenBlocker(OpenBlocker),
    ClaimInput(ClaimInput),
    AckInput(AckInput),
    ProduceOutput(Box<ProduceOutput>),
    AppendOutputRows(AppendOutputRows),
    FinalizeOutput(FinalizeOutput),
    ArchiveOutputs(ArchiveOutputs),
    RecordUsage(RecordUsage),
}

/// Accepts a command to an agent (`AcceptAgentCommand`).
#[derive(Clone, Debug, PartialEq)]
pub struct Accept {
    /// The task to make.
    pub task_id: TaskId,
    /// Where.
    pub workspace: String,
    /// The agent as looked up.
    pub agent: agent::Created,
    /// The text.
    pub message: String,
    /// The session; fresh when the caller gave none.
    pub session_id: String,
    /// A caller's name for the session.
    pub session_key: Option<String>,
    /// Part of the execution class.
    pub lane: Option<String>,
    /// Rules of execution as given.
    pub policy: Option<RunPolicy>,
    /// Longest attempt in milliseconds; 600 000 when absent, 0 = none.
    pub timeout_ms: Option<i64>,
    /// `low`, `normal`, `high`, `urgent`, in any case; normal when absent.
    pub priority: Option<String>,
    /// Limit in US dollars.
    pub budget_usd: Option<f64>,
    /// The parent, and whether it was found open in the same workspace.
    pub parent: Option<Parent>,
    /// What becomes of it when its parent is cancelled.
    pub parent_close: ParentClose,
    /// The output of the parent it was spawned for, as the parent's agent named it.
    pub source_output_id: Option<String>,
    /// The task of the same session it runs after.
    pub runs_after: Option<TaskId>,
    /// The schedule that made it.
    pub schedule_id: Option<String>,
    /// Skills the agent is to use, as paths.
    pub skill_paths: Vec<String>,
    /// A name for people.
    pub label: Option<String>,
    /// Names and values to filter by.
    pub labels: BTreeMap<String, String>,
    /// Reply addressing.
    pub routing: Map<String, Value>,
    /// Where the command came from.
    pub input_provenance: Map<String, Value>,
    /// Objects handed to the agent.
    pub attachments: Vec<Map<String, Value>>,
    /// Text added to the system prompt.
    pub extra_system_prompt: Option<String>,
    /// Whether the result is to be delivered.
    pub deliver: Option<bool>,
    /// The view it works for.
    pub source_view_id: Option<String>,
    /// What made it.
    pub spawned_by: Option<String>,
    /// The hook that made it.
    pub hook_id: Option<String>,
    /// Sleep this long first, in milliseconds.
    pub dispatch_delay_ms: Option<i64>,
    /// Sleep until then first.
    pub not_before: Option<DateTime<Utc>>,
    /// When it must be over.
    pub deadline: Option<DateTime<Utc>>,
    /// How long it may wait for its first attempt, in milliseconds.
    pub queue_ttl_ms: Option<i64>,
    /// Longest message, in bytes.
    pub message_bytes_max: usize,
    /// When.
    pub at: DateTime<Utc>,
}

/// Longest message when nothing else is configured, in bytes (domain.md 3).
pub const MESSAGE_BYTES_MAX: usize = 256 * 1024;

impl Accept {
    /// A command with nothing but what every command has: its session is the task's own.
    pub fn new(
        task_id: TaskId,
        agent: agent::Created,
        message: impl Into<String>,
        at: DateTime<Utc>,
    ) -> Self {
        Self {
            task_id,
            workspace: agent.workspace.clone(),
            agent,
            message: message.into(),
            session_id: task_id.to_string(),
            session_key: None,
            lane: None,
            policy: None,
            timeout_ms: None,
            priority: None,
            budget_usd: None,
            parent: None,
            parent_close: ParentClose::default(),
            source_output_id: None,
            runs_after: None,
            schedule_id: None,
            skill_paths: Vec::new(),
            label: None,
            labels: BTreeMap::new(),
            routing: Map::new(),
            input_provenance: Map::new(),
            attachments: Vec::new(),
            extra_system_prompt: None,
            deliver: None,
            source_view_id: None,
            spawned_by: None,
            hook_id: None,
            dispatch_delay_ms: None,
            not_before: None,
            deadline: None,
            queue_ttl_ms: None,
            message_bytes_max: MESSAGE_BYTES_MAX,
            at,
        }
    }
}

/// What was found out about the parent a command names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The parent as named.
    pub task_id: TaskId,
    /// The task at the top of the parent's tree; the parent itself when it has no parent.
    pub root_task_id: TaskId,
    /// True when it exists in the same workspace and is not over.
    pub is_open: bool,
}

/// Says something to a task (`SubmitTaskInput`, `EnqueueRunInput`).
#[derive(Clone, Debug, PartialEq)]
pub struct SubmitInput {
    /// Fresh, or derived from the idempotency key.
    pub input_id: InputId,
    /// The run it was addressed to, when it was addressed to one.
    pub run_id: Option<RunId>,
    /// The text.
    pub message: String,
    /// Answers by question id.
    pub answers: Map<String, Value>,
    /// The blocker it is meant for; the open one when absent.
    pub blocker_id: Option<crate::id::BlockerId>,
    /// Longest message, in bytes.
    pub message_bytes_max: usize,
    /// When.
    pub at: DateTime<Utc>,
}

/// Cancels a task (`CancelTask`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancel {
    /// Why.
    pub reason: Option<String>,
    /// How long the worker has to stop, in milliseconds.
    pub grace_ms: i64,
    /// When.
    pub at: DateTime<Utc>,
}

/// Cancels a run, and with it its task (`CancelRun`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelRun {
    /// Which run.
    pub run_id: RunId,
    /// Why.
    pub reason: Option<String>,
    /// How long the worker has to stop, in milliseconds.
    pub grace_ms: i64,
    /// When.
    pub at: DateTime<Utc>,
}

/// The sleep timer rings. A timer of another sleep changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wake {
    /// The instant the timer was set for.
    pub wake_at: DateTime<Utc>,
    /// When.
    pub at: DateTime<Utc>,
}

/// Gives a try at the queued run to a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The run that was chosen.
    pub run_id: RunId,
    /// To whom.
    pub worker_id: WorkerId,
    /// The worker's name.
    pub worker_name: String,
    /// For how long without renewal, in milliseconds.
    pub lease_ms: i64,
    /// When.
    pub at: DateTime<Utc>,
}

/// The worker begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The fence.
    pub attempt_id: AttemptId,
    /// When.
    pub at: DateTime<Utc>,
}

/// The lease ran out, or the worker gave the attempt back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpireLease {
    /// The fence.
    pub attempt_id: AttemptId,
    /// True when the worker gave it back, false when it fell silent.
    pub returned: bool,
    /// Why, for people.
    pub reason: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// The grace of a cancelled attempt is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseAttempt {
    /// The fence.
    pub attempt_id: AttemptId,
    /// When.
    pub at: DateTime<Utc>,
}

/// The attempt ran longer than it may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeOutAttempt {
    /// The fence.
    pub attempt_id: AttemptId,
    /// How long the worker has to stop, in milliseconds.
    pub grace_ms: i64,
    /// When.
    pub at: DateTime<Utc>,
}

/// The task waited longer than its queue TTL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpireQueue {
    /// The run whose wait it is.
    pub run_id: RunId,
    /// When.
    pub at: DateTime<Utc>,
}

/// The task's deadline passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassDeadline {
    /// The deadline that passed.
    pub deadline: DateTime<Utc>,
    /// How long the worker has to stop, in milliseconds.
    pub grace_ms: i64,
    /// When.
    pub at: DateTime<Utc>,
}

/// The worker reports the end of an attempt: outcome and what is to follow (`RunResultEnvelope`).
#[derive(Clone, Debug, PartialEq)]
pub struct Finish {
    /// The fence.
    pub attempt_id: AttemptId,
    /// How it ended; `Lost` is not a worker's to say.
    pub outcome: AttemptOutcome,
    /// The process' exit code.
    pub exit_code: Option<i32>,
    /// What went wrong.
    pub error: Option<String>,
    /// Whether another try may help, when the worker knows.
    pub error_class: Option<ErrorClass>,
    /// How long the provider asks to wait, in milliseconds.
    pub retry_after_ms: Option<i64>,
    /// What was used and not reported before.
    pub usage: Option<Usage>,
    /// The agent waits for an answer.
    pub waiting_for_input: bool,
    /// The question, when it was not opened before.
    pub blocker: Option<BlockerSpec>,
    /// Sleep and come back.
    pub wake: Option<WakePlan>,
    /// What the agent answered.
    pub result: Option<Value>,
    /// When.
    pub at: DateTime<Utc>,
}

/// When and why to come back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WakePlan {
    /// In so many minutes; none or not positive means five.
    pub delay_minutes: Option<i64>,
    /// At this instant; wins over the delay.
    pub at: Option<DateTime<Utc>>,
    /// Why.
    pub reason: Option<String>,
    /// What the agent is told then.
    pub follow_up_prompt: Option<String>,
    /// What is planned.
    pub agenda: Vec<AgendaItem>,
}

/// A question to open.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BlockerSpec {
    /// In one line.
    pub summary: String,
    /// More about it.
    pub details: Option<String>,
    /// The single questions.
    pub questions: Vec<Question>,
}

/// The live attempt asks something.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenBlocker {
    /// The fence.
    pub attempt_id: AttemptId,
    /// The question.
    pub blocker: BlockerSpec,
    /// When.
    pub at: DateTime<Utc>,
}

/// The live attempt takes the oldest pending input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimInput {
    /// The fence.
    pub attempt_id: AttemptId,
    /// When.
    pub at: DateTime<Utc>,
}

/// The agent has the claimed input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AckInput {
    /// The fence.
    pub attempt_id: AttemptId,
    /// Which input.
    pub input_id: InputId,
    /// When.
    pub at: DateTime<Utc>,
}

/// The agent, or somebody outside, produced something.
#[derive(Clone, Debug, PartialEq)]
pub struct ProduceOutput {
    /// The fence; none when it is said from outside.
    pub attempt_id: Option<AttemptId>,
    /// Fresh, or derived from the producer's name for it.
    pub output_id: OutputId,
    /// What it is.
    pub output_type: String,
    /// A name for people.
    pub title: String,
    /// What it says.
    pub summary: Option<String>,
    /// Where it lies.
    pub uri: Option<String>,
    /// The thing itself.
    pub data: Map<String, Value>,
    /// More about it.
    pub metadata: Map<String, Value>,
    /// `Active` or `Pending`.
    pub status: OutputStatus,
    /// When.
    pub at: DateTime<Utc>,
}

/// Adds rows to an output.
#[derive(Clone, Debug, PartialEq)]
pub struct AppendOutputRows {
    /// The fence; none when it is said from outside.
    pub attempt_id: Option<AttemptId>,
    /// Which output.
    pub output_id: OutputId,
    /// The rows.
    pub rows: Vec<Value>,
    /// When.
    pub at: DateTime<Utc>,
}

/// Gives an output its final summary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalizeOutput {
    /// The fence; none when it is said from outside.
    pub attempt_id: Option<AttemptId>,
    /// Which output.
    pub output_id: OutputId,
    /// The summary.
    pub summary: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// Puts outputs away; those that are away already stay as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveOutputs {
    /// Which outputs.
    pub output_ids: Vec<OutputId>,
    /// When.
    pub at: DateTime<Utc>,
}

/// Reports what was used since the last report.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordUsage {
    /// The fence.
    pub attempt_id: AttemptId,
    /// What was used.
    pub usage: Usage,
    /// When.
    pub at: DateTime<Utc>,
}
