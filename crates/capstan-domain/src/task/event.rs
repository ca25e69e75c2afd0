//! The facts of a task. These names and fields are stored for ever: see `schemas/README.md` before touching one.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::id::{AgentId, AttemptId, BlockerId, InputId, OutputId, RunId, TaskId, WorkerId};
use crate::outcome_text::ErrorClass;
use crate::policy::RunPolicy;
use crate::usage::Usage;

/// A fact about a task.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each variant is documented at its struct")]
pub enum Event {
    TaskAccepted(Arc<TaskAccepted>),
    RunRequested(RunRequested),
    AttemptLeased(AttemptLeased),
    AttemptStarted(AttemptStarted),
    AttemptCancelRequested(AttemptCancelRequested),
    AttemptEnded(AttemptEnded),
    RetryScheduled(RetryScheduled),
    RunEnded(RunEnded),
    TaskContinued(TaskContinued),
    TaskSlept(TaskSlept),
    TaskDone(TaskDone),
    TaskFailed(TaskFailed),
    TaskCancelled(TaskCancelled),
    TaskDropped(TaskDropped),
    BlockerOpened(BlockerOpened),
    BlockerClosed(BlockerClosed),
    InputAccepted(InputAccepted),
    InputClaimed(InputClaimed),
    InputReturned(InputReturned),
    InputConsumed(InputConsumed),
    OutputProduced(OutputProduced),
    OutputRowsAppended(OutputRowsAppended),
    OutputFinalized(OutputFinalized),
    OutputStatusChanged(OutputStatusChanged),
    UsageRecorded(UsageRecorded),
}

/// Declares a stored struct: serde and schema derives, absent options not written.
macro_rules! stored {
    ($($(#[$meta:meta])* pub struct $name:ident { $($(#[$field_meta:meta])* pub $field:ident : $type:ty,)* })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        pub struct $name { $($(#[$field_meta])* pub $field: $type,)* }
    )*};
}

/// How urgent a task is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Runs when nothing else waits, or when it has waited long enough.
    Low,
    /// The default.
    #[default]
    Normal,
    /// Before normal.
    High,
    /// Before everything else.
    Urgent,
}

stored! {
/// A command to an agent was accepted: the task begins. Everything a later run needs is frozen here.
pub struct TaskAccepted {
    /// The task.
    pub task_id: TaskId,
    /// Where it lives.
    pub workspace: String,
    /// Who does it.
    pub agent_id: AgentId,
    /// The agent's key at acceptance.
    pub agent_key: String,
    /// The agent's name at acceptance.
    pub agent_name: String,
    /// The agent's configuration at acceptance; later edits of the agent do not change the task.
    pub agent_config: Map<String, Value>,
    /// Provider at acceptance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Model at acceptance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The command's text.
    pub message: String,
    /// The conversation its runs share.
    pub session_id: String,
    /// A caller's name for the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_key: Option<String>,
    /// Part of the execution class: tasks of one lane run one after another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<String>,
    /// Execution class: tasks of one class share a concurrency limit.
    pub instance_key: String,
    /// Rules of execution.
    pub policy: RunPolicy,
    /// Longest time one attempt may run, in milliseconds; 0 = none.
    pub timeout_ms: i64,
    /// How urgent it is.
    pub priority: Priority,
    /// Limit of what it may cost, in US dollars.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::finite::serialize_option"
    )]
    pub budget_usd: Option<f64>,
    /// The task this one was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_task_id: Option<TaskId>,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Names and values to filter by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Reply addressing; free strings.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub routing: Map<String, Value>,
    /// Where the command came from; free strings.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub input_provenance: Map<String, Value>,
    /// Objects handed to the agent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Map<String, Value>>,
    /// Text added to the agent's system prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra_system_prompt: Option<String>,
    /// Whether the result is to be delivered to the routing address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deliver: Option<bool>,
    /// The view it works for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_view_id: Option<String>,
    /// What made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spawned_by: Option<String>,
    /// The hook that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook_id: Option<String>,
    /// When it must be over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<DateTime<Utc>>,
    /// How long it may wait for its first attempt, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_ttl_ms: Option<i64>,
    /// When it was accepted.
    pub accepted_at: DateTime<Utc>,
}

/// A run was asked for: the task waits in the queue for a worker.
pub struct RunRequested {
    /// The run.
    pub run_id: RunId,
    /// Its number within the task, from 1.
    pub run_no: u32,
    /// Why it was asked for.
    pub cause: RunCause,
    /// What the agent is told.
    pub prompt: String,
    /// Inputs this prompt delivers; they are consumed by it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub input_ids: Vec<InputId>,
    /// The run whose session it resumes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed_from_run_id: Option<RunId>,
    /// Since when it waits.
    pub queued_at: DateTime<Utc>,
}

/// A worker was given a try at the run.
pub struct AttemptLeased {
    /// The try, and the fence of everything the worker says about it.
    pub attempt_id: AttemptId,
    /// The run it tries.
    pub run_id: RunId,
    /// Its number within the run, from 1.
    pub attempt_no: u32,
    /// The worker.
    pub worker_id: WorkerId,
    /// The worker's name.
    pub worker_name: String,
    /// How long the lease lasts without renewal, in milliseconds.
    pub lease_ms: i64,
    /// When.
    pub leased_at: DateTime<Utc>,
}

/// The worker began to execute.
pub struct AttemptStarted {
    /// The try.
    pub attempt_id: AttemptId,
    /// Its run.
    pub run_id: RunId,
    /// When.
    pub started_at: DateTime<Utc>,
}

/// The worker is to stop; until it has, or the grace is over, the session stays taken.
pub struct AttemptCancelRequested {
    /// The try.
    pub attempt_id: AttemptId,
    /// Its run.
    pub run_id: RunId,
    /// Why.
    pub reason: String,
    /// When the engine stops waiting for the worker.
    pub grace_until: DateTime<Utc>,
}

/// The try is over; its lease is void.
pub struct AttemptEnded {
    /// The try.
    pub attempt_id: AttemptId,
    /// Its run.
    pub run_id: RunId,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// The process' exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether another try may help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_class: Option<ErrorClass>,
    /// When.
    pub ended_at: DateTime<Utc>,
}

/// The run will be tried again: the task is back in the queue.
pub struct RetryScheduled {
    /// The run.
    pub run_id: RunId,
    /// The number of the coming attempt.
    pub attempt_no: u32,
    /// Why.
    pub reason: RetryReason,
    /// Not before this instant.
    pub available_at: DateTime<Utc>,
}

/// The run is over.
pub struct RunEnded {
    /// The run.
    pub run_id: RunId,
    /// How it ended.
    pub status: RunStatus,
    /// The process' exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What the agent answered, when the worker reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// When.
    pub ended_at: DateTime<Utc>,
}

/// The answer reached the live attempt: the task goes on.
pub struct TaskContinued {
    /// The run that goes on.
    pub run_id: RunId,
    /// When.
    pub at: DateTime<Utc>,
}

/// The task sleeps until a timer or an input wakes it.
pub struct TaskSlept {
    /// When the timer wakes it.
    pub wake_at: DateTime<Utc>,
    /// Why it sleeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the agent is told when the timer wakes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow_up_prompt: Option<String>,
    /// What is planned for then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agenda: Vec<AgendaItem>,
    /// When it fell asleep.
    pub at: DateTime<Utc>,
}

/// One thing planned for a wake.
pub struct AgendaItem {
    /// What kind of thing.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The task ended well.
pub struct TaskDone {
    /// When.
    pub at: DateTime<Utc>,
}

/// The task ended in an error.
pub struct TaskFailed {
    /// What went wrong.
    pub error: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// The task was cancelled.
pub struct TaskCancelled {
    /// Why, as the caller gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}

/// The task left the queue without ever running to an end.
pub struct TaskDropped {
    /// Why.
    pub reason: DropReason,
    /// When.
    pub at: DateTime<Utc>,
}

/// The task waits for an answer.
pub struct BlockerOpened {
    /// The question's identity.
    pub blocker_id: BlockerId,
    /// Counts the task's blockers, from 1.
    pub revision: u32,
    /// The run that asked.
    pub run_id: RunId,
    /// What kind of answer is wanted.
    pub kind: BlockerKind,
    /// The question in one line.
    pub summary: String,
    /// More about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
    /// The single questions, when there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub questions: Vec<Question>,
    /// When it was asked.
    pub opened_at: DateTime<Utc>,
}

/// One question of a blocker.
pub struct Question {
    /// Names the question in the answer.
    pub id: String,
    /// The question.
    pub text: String,
}

/// The question is answered or no longer asked.
pub struct BlockerClosed {
    /// Which question.
    pub blocker_id: BlockerId,
    /// How it ended.
    pub status: BlockerStatus,
    /// The input that answered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_id: Option<InputId>,
    /// When.
    pub closed_at: DateTime<Utc>,
}

/// Something was said to the task; it stays in the inbox until a run has it.
pub struct InputAccepted {
    /// The input.
    pub input_id: InputId,
    /// Its place in the inbox, from 1.
    pub seq: u32,
    /// What kind of input.
    pub kind: InputKind,
    /// The text.
    pub message: String,
    /// Answers by question id.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub answers: Map<String, Value>,
    /// The blocker it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocker_id: Option<BlockerId>,
    /// What becomes of it, as the caller was told.
    pub outcome: InputOutcome,
    /// When.
    pub accepted_at: DateTime<Utc>,
}

/// The live attempt took the input, but has not used it yet.
pub struct InputClaimed {
    /// The input.
    pub input_id: InputId,
    /// Who took it.
    pub attempt_id: AttemptId,
    /// When.
    pub at: DateTime<Utc>,
}

/// The input is pending again: the attempt that took it is gone.
pub struct InputReturned {
    /// The input.
    pub input_id: InputId,
    /// When.
    pub at: DateTime<Utc>,
}

/// The agent has the input.
pub struct InputConsumed {
    /// The input.
    pub input_id: InputId,
    /// The attempt that acknowledged it.
    pub attempt_id: AttemptId,
    /// When.
    pub at: DateTime<Utc>,
}

/// The agent produced something.
pub struct OutputProduced {
    /// The output.
    pub output_id: OutputId,
    /// The run that made it; none for outputs added from outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
    /// What it is, free.
    pub output_type: String,
    /// A name for people.
    pub title: String,
    /// What it says, in short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// Where it lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// The thing itself.
    #[serde(default)]
    pub data: Map<String, Value>,
    /// More about it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// `active`, or `pending` when it waits for a decision.
    pub status: OutputStatus,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// Rows were added to an output's `data.rows`.
pub struct OutputRowsAppended {
    /// The output.
    pub output_id: OutputId,
    /// The new rows.
    pub rows: Vec<Value>,
    /// When.
    pub at: DateTime<Utc>,
}

/// The output got its final summary.
pub struct OutputFinalized {
    /// The output.
    pub output_id: OutputId,
    /// The summary.
    pub summary: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// An output's status changed.
pub struct OutputStatusChanged {
    /// The output.
    pub output_id: OutputId,
    /// The status from now on.
    pub status: OutputStatus,
    /// When.
    pub at: DateTime<Utc>,
}

/// Tokens and money were used; records of a run add up.
pub struct UsageRecorded {
    /// The run.
    pub run_id: RunId,
    /// The attempt.
    pub attempt_id: AttemptId,
    /// What was used since the last record.
    pub usage: Usage,
    /// When.
    pub at: DateTime<Utc>,
}
}

/// Declares a stored choice, written in `snake_case`.
macro_rules! choice {
    ($($(#[$meta:meta])* pub enum $name:ident { $($(#[$variant_meta:meta])* $variant:ident,)* })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$variant_meta])* $variant,)* }
    )*};
}

choice! {
/// Why a run was asked for.
pub enum RunCause {
    /// The command was accepted.
    Accepted,
    /// An input arrived, or was left over.
    Input,
    /// The sleep is over.
    Wake,
    /// A caller asked for another try.
    Retry,
}

/// How an attempt ended.
pub enum AttemptOutcome {
    /// Well.
    Ok,
    /// With an error.
    Error,
    /// Out of time.
    Timeout,
    /// Its worker fell silent or gave it back.
    Lost,
    /// It was told to stop.
    Cancelled,
}

/// Where a run stands.
pub enum RunStatus {
    /// Waits for a worker.
    Accepted,
    /// A worker executes it.
    Running,
    /// Ended well.
    Ok,
    /// Ended in an error.
    Error,
    /// Out of time.
    Timeout,
    /// Was cancelled.
    Cancelled,
}

/// Why a run is tried again.
pub enum RetryReason {
    /// The attempt failed, and another may help.
    RetryableError,
    /// The model's provider asked for a pause.
    RateLimited,
    /// The worker fell silent.
    LeaseLost,
    /// The worker gave the attempt back.
    Returned,
}

/// Why a task was dropped.
pub enum DropReason {
    /// It waited longer than its queue TTL.
    QueueTtl,
    /// Too many attempts were lost.
    DispatchRetryExhausted,
}

/// What kind of answer a blocker wants.
pub enum BlockerKind {
    /// A free text, or answers to its questions.
    Input,
}

/// Where a blocker stands.
pub enum BlockerStatus {
    /// Waits for its answer.
    Open,
    /// Answered.
    Resolved,
    /// Another blocker took its place.
    Superseded,
    /// Its time ran out.
    Expired,
    /// Its task or run ended.
    Cancelled,
}

/// What kind of input was given.
pub enum InputKind {
    /// Free text.
    FreeText,
}

/// What becomes of an input.
pub enum InputOutcome {
    /// The live attempt will receive it now.
    Delivered,
    /// It stays in the inbox until the current turn ends.
    Queued,
    /// The task goes back to the queue to resume its session with it.
    Resumed,
}

/// Where an output stands.
pub enum OutputStatus {
    /// In force.
    Active,
    /// Waits for a decision.
    Pending,
    /// Approved, in force once the run ended well.
    Approved,
    /// Rejected.
    Rejected,
    /// Its task was cancelled.
    Cancelled,
}
}
