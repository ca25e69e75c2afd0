//! The requests a task takes. Each carries its time and every fresh id it may need.

mod lifecycle;
mod plan;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::id::{AttemptId, BlockerId, InputId, OutputId, RunId, TaskId, ToolCallId, WorkerId};
use crate::outcome_text::ErrorClass;
use crate::policy::RunPolicy;
use crate::task::budget::Spending;
use crate::task::event::{
    AgendaItem, Approvers, BlockerKind, DeadlineDefault, InputSource, OutputStatus, ParentClose, Question,
    SourceWatch, ToolExecutor, ToolOutcome,
};
use crate::usage::Usage;
use crate::workspace::settings::ApprovalPolicy;
use crate::{agent, task::event::AttemptOutcome};

pub use lifecycle::{Archive, PayloadChange, Retry, Unarchive, Update};
pub use plan::{ChildEnded, FanOut, FireWatch, ParentHeard, SubtaskSpec};

/// A request to a task.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each variant is documented at its struct")]
pub enum Command {
    Accept(Box<Accept>),
    SubmitInput(SubmitInput),
    Cancel(Cancel),
    CancelRun(CancelRun),
    Retry(Retry),
    Archive(Archive),
    Unarchive(Unarchive),
    Update(Box<Update>),
    ChildEnded(Box<ChildEnded>),
    ParentHeard(ParentHeard),
    FireWatch(FireWatch),
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
    ExpireBlocker(ExpireBlocker),
    ClaimInput(ClaimInput),
    AckInput(AckInput),
    DeferInput(DeferInput),
    ProduceOutput(Box<ProduceOutput>),
    AppendOutputRows(AppendOutputRows),
    FinalizeOutput(FinalizeOutput),
    ArchiveOutputs(ArchiveOutputs),
    RecordUsage(RecordUsage),
    CheckToolCall(Box<CheckToolCall>),
    StartToolCall(StartToolCall),
    EndToolCall(Box<EndToolCall>),
    StopForBudget(StopForBudget),
    WarnBudget(WarnBudget),
    LiftBudget(LiftBudget),
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
    /// What it waits for outside from the beginning.
    pub watches: Vec<SourceWatch>,
    /// Longest message, in bytes.
    pub message_bytes_max: usize,
    /// Who gives it, by actor name.
    pub accepted_by: Option<String>,
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
            accepted_by: None,
            watches: Vec::new(),
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
    /// How many tasks stand above the parent.
    pub depth: u32,
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
    /// `approve_reject` or `free_text`; what it holds decides when absent.
    pub kind: Option<String>,
    /// `approve` or `reject`, in any case.
    pub action: Option<String>,
    /// The text.
    pub message: String,
    /// Decisions on single outputs.
    pub items: Vec<ItemSpec>,
    /// Answers by question id.
    pub answers: Map<String, Value>,
    /// `followup` (when absent), `queue`, `steer`, `steer-backlog` or `interrupt`, in any case.
    pub queue_mode: Option<String>,
    /// What says it.
    pub source: InputSource,
    /// Who says it, by actor name.
    pub by: Option<String>,
    /// The blocker it is meant for; the open one when absent.
    pub blocker_id: Option<BlockerId>,
    /// The blocker whose answer schema it was checked against.
    pub checked_for: Option<BlockerId>,
    /// How long a worker it interrupts has to stop, in milliseconds.
    pub grace_ms: i64,
    /// Longest message, in bytes.
    pub message_bytes_max: usize,
    /// When.
    pub at: DateTime<Utc>,
}

impl SubmitInput {
    /// A text with nothing else to it.
    pub fn text(input_id: InputId, source: InputSource, message: String, at: DateTime<Utc>) -> Self {
        Self {
            input_id,
            run_id: None,
            kind: None,
            action: None,
            message_bytes_max: message.len(),
            message,
            items: Vec::new(),
            answers: Map::new(),
            queue_mode: None,
            source,
            by: None,
            blocker_id: None,
            checked_for: None,
            grace_ms: 0,
            at,
        }
    }
}

/// A decision on one output, as it was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ItemSpec {
    /// The output's id.
    pub output_id: String,
    /// `approve` or `reject`, in any case.
    pub action: String,
    /// Why.
    pub reason: Option<String>,
    /// The other task the output was found in.
    pub of_task: Option<TaskId>,
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
    /// Children to make and things to watch.
    pub fan_out: FanOut,
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
    /// `Input` when absent, or `Approval`.
    pub kind: Option<BlockerKind>,
    /// The outputs to be decided on; an approval without any is about what waits for one.
    pub items: Vec<BlockerItemSpec>,
    /// Names the outputs and decisions that belong together.
    pub wait_group_id: Option<String>,
    /// JSON Schema the answers must satisfy.
    pub answer_schema: Option<Value>,
    /// When and how it ends without an answer.
    pub deadline: Option<DeadlineSpec>,
    /// Whose approval it takes.
    pub approvers: Option<Approvers>,
    /// Inputs said before that satisfy the schema, as checked by whoever sends the command.
    pub fitting: Vec<InputId>,
}

/// An output a question is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockerItemSpec {
    /// The output.
    pub output_id: OutputId,
    /// What it is about, as the agent names it.
    pub item_key: Option<String>,
}

/// When and how a question is to end without an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadlineSpec {
    /// At this instant.
    pub at: Option<DateTime<Utc>>,
    /// After so many milliseconds.
    pub after_ms: Option<i64>,
    /// How.
    pub default: DeadlineDefault,
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

/// The time a question had is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpireBlocker {
    /// Which question.
    pub blocker_id: BlockerId,
    /// How long a worker that must stop has, in milliseconds.
    pub grace_ms: i64,
    /// When.
    pub at: DateTime<Utc>,
}

/// The input could not be put into the live turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeferInput {
    /// The fence.
    pub attempt_id: AttemptId,
    /// Which input.
    pub input_id: InputId,
    /// Why not.
    pub reason: String,
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

/// Asks whether the agent may call a tool now (the gate).
#[derive(Clone, Debug, PartialEq)]
pub struct CheckToolCall {
    /// The fence.
    pub attempt_id: AttemptId,
    /// The tool.
    pub tool: String,
    /// What it is to be called with.
    pub arguments: Value,
    /// What it would do, in one line, as the agent puts it.
    pub summary: Option<String>,
    /// More about it.
    pub details: Option<String>,
    /// Whether it changes anything.
    pub is_write: bool,
    /// What the workspace lets agents write without asking.
    pub approval_policy: ApprovalPolicy,
    /// True when the workspace forbids the tool.
    pub is_disabled: bool,
    /// Who can carry the call out once it is approved.
    pub executor: Option<ToolExecutor>,
    /// When.
    pub at: DateTime<Utc>,
}

/// Somebody begins to carry out an approved call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartToolCall {
    /// The call.
    pub tool_call_id: ToolCallId,
    /// The number of this try.
    pub try_no: u32,
    /// The worker that does it; the control plane itself when absent.
    pub worker_id: Option<WorkerId>,
    /// True when the try before is known to have failed: nobody waits for its claim to pass.
    pub has_failed: bool,
    /// When it counts as lost.
    pub until: DateTime<Utc>,
    /// When.
    pub at: DateTime<Utc>,
}

/// A call was carried out, or given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndToolCall {
    /// The call.
    pub tool_call_id: ToolCallId,
    /// The try that says so.
    pub try_no: u32,
    /// The worker that says so.
    pub worker_id: Option<WorkerId>,
    /// How it ended.
    pub outcome: ToolOutcome,
    /// The exit code, when there is one.
    pub exit_code: Option<i32>,
    /// What it wrote.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
    /// What went wrong.
    pub error: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}

/// A budget the task draws on is spent: what runs is stopped, and the task waits.
#[derive(Clone, Debug, PartialEq)]
pub struct StopForBudget {
    /// Whose, and how much.
    pub spending: Spending,
    /// How long the worker has to stop, in milliseconds.
    pub grace_ms: i64,
    /// When.
    pub at: DateTime<Utc>,
}

/// Most of a budget the task draws on is spent.
#[derive(Clone, Debug, PartialEq)]
pub struct WarnBudget {
    /// Whose, and how much.
    pub spending: Spending,
    /// When.
    pub at: DateTime<Utc>,
}

/// A budget has room again: a task that waits for it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiftBudget {
    /// The question it waits on.
    pub blocker_id: BlockerId,
    /// When.
    pub at: DateTime<Utc>,
}
