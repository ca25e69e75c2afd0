//! What decisions need to know of a task.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::id::{AttemptId, InputId, OutputId, RunId, TaskId, ToolCallId, WatchId, WorkerId};
use crate::task::decide::later;
use crate::task::event::{
    BlockerKind, BlockerOpened, InputKind, InputOutcome, InputSource, JoinWait, OutputStatus, Priority,
    QueueMode, RunCause, RunStatus, SourceWatch, Subtask, SubtaskEnded, TaskAccepted, ToolCallDeferred,
    ToolExecutor, Verdict,
};

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Waits for a worker.
    Queued,
    /// An attempt is leased.
    Running,
    /// Waits for an answer.
    Waiting,
    /// Waits for a timer.
    Sleeping,
    /// Ended well.
    Done,
    /// Ended in an error.
    Error,
    /// Left the queue without an end.
    Dropped,
    /// Was cancelled.
    Cancelled,
}

impl TaskState {
    /// Every state, in the order people read them.
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::Running,
        Self::Waiting,
        Self::Sleeping,
        Self::Done,
        Self::Error,
        Self::Dropped,
        Self::Cancelled,
    ];

    /// True when nothing more happens without a new command.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Done | Self::Error | Self::Dropped | Self::Cancelled)
    }

    /// The wire word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Sleeping => "sleeping",
            Self::Done => "done",
            Self::Error => "error",
            Self::Dropped => "dropped",
            Self::Cancelled => "cancelled",
        }
    }
}

impl RunStatus {
    /// True when the run is over.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Ok | Self::Error | Self::Timeout | Self::Cancelled)
    }

    /// The wire word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Running => "running",
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The stream of a task: empty, or a task.
pub type State = Option<Box<Task>>;

/// A task as its decisions see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// What was accepted, as changed since. It is by far the largest part, so states of a task share it.
    pub accepted: Arc<TaskAccepted>,
    /// Where it stands.
    pub state: TaskState,
    /// Its urgency now.
    pub priority: Priority,
    /// All its runs, oldest first.
    pub runs: Vec<Run>,
    /// The last lease epoch given out.
    pub epoch: u64,
    /// The attempt that holds the lease.
    pub live: Option<Live>,
    /// Since when it is queued.
    pub queued_at: Option<DateTime<Utc>>,
    /// Not to be leased before this instant.
    pub available_at: Option<DateTime<Utc>>,
    /// Its sleep.
    pub sleep: Option<Sleep>,
    /// Everything said to it, oldest first.
    pub inbox: Vec<Input>,
    /// The question it waits on.
    pub blocker: Option<Blocker>,
    /// Blockers opened so far.
    pub blocker_revision: u32,
    /// The question answered last, and the input that answered it.
    pub answered: Option<(Blocker, InputId)>,
    /// Its outputs.
    pub outputs: BTreeMap<OutputId, Output>,
    /// Since when it is archived.
    pub archived_at: Option<DateTime<Utc>>,
    /// Timers that woke it since a caller last said something.
    pub wake_count: u32,
    /// What its own runs cost so far, in US dollars.
    pub cost_usd: f64,
    /// Tool calls that were kept back and are not forgotten yet.
    pub tool_calls: BTreeMap<ToolCallId, ToolCall>,
    /// Its children: those it spawned, and those that ended.
    pub children: BTreeMap<TaskId, Child>,
    /// What it waits for outside.
    pub watches: BTreeMap<WatchId, SourceWatch>,
    /// The last batches its watches fired for, as hashes, so that a repeated event fires nothing.
    pub fired: Vec<String>,
    /// The watches among them that fired.
    #[serde(default)]
    pub fired_watches: BTreeSet<WatchId>,
    /// The subtasks it still wants to hear of.
    #[serde(default)]
    pub joins: Vec<JoinWait>,
    /// What its last run answered; kept for its parent.
    #[serde(default)]
    pub result: Option<Value>,
    /// What went wrong; kept for its parent.
    #[serde(default)]
    pub error: Option<String>,
    /// True once the parent knows how it ended.
    pub parent_told: bool,
    /// The last warning about each budget.
    pub warned: BTreeMap<crate::task::event::BudgetScope, crate::task::event::BudgetWarned>,
}

/// An output as decisions see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// A digest of what it was made as: only the same once more is a repeat.
    pub made_as: uuid::Uuid,
    /// Where it stands.
    pub status: OutputStatus,
    /// Its place among the task's outputs, from 1.
    pub number: u32,
    /// The run that made it.
    pub run_id: Option<RunId>,
    /// What it is.
    pub output_type: String,
    /// A name for people.
    pub title: String,
    /// The final summary.
    pub summary: Option<String>,
    /// The wait group its metadata names.
    pub wait_group_id: Option<String>,
    /// True when its pending status asks for an approval.
    pub is_approval: bool,
    /// The draft it stands for, when it is an email that was not sent.
    pub draft: Option<EmailDraft>,
    /// True once it was put away.
    pub is_archived: bool,
}

/// An email that waits to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmailDraft {
    /// The draft.
    pub draft_id: String,
    /// The thread it belongs to.
    pub thread_id: Option<String>,
    /// The recipient.
    pub to: Option<String>,
    /// The subject.
    pub subject: Option<String>,
}

/// A tool call that was kept back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The call.
    pub deferred: ToolCallDeferred,
    /// Where it stands.
    pub state: ToolCallState,
}

/// Where a kept call stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum ToolCallState {
    /// Waits for a decision.
    Pending,
    /// Rejected; the same call is refused for a while after this instant.
    Rejected {
        /// When.
        at: DateTime<Utc>,
    },
    /// Approved and the agent's to repeat, once, shortly after this instant.
    PreApproved {
        /// When.
        at: DateTime<Utc>,
    },
    /// Approved; waits to be carried out.
    Approved {
        /// By whom.
        executor: ToolExecutor,
        /// Tries that were lost.
        tries: u32,
    },
    /// Being carried out.
    Executing {
        /// By whom.
        executor: ToolExecutor,
        /// The number of this try.
        try_no: u32,
        /// The worker that does it.
        worker_id: Option<WorkerId>,
        /// When it counts as lost.
        until: DateTime<Utc>,
    },
}

/// A child as its parent knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Child {
    /// Its name for people.
    pub label: Option<String>,
    /// What it is made from, while it is not known to be over.
    #[serde(default)]
    pub subtask: Option<Box<Subtask>>,
    /// How it ended, once it has.
    pub ended: Option<SubtaskEnded>,
}

/// A run as decisions see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its id.
    pub run_id: RunId,
    /// Why it was asked for.
    pub cause: RunCause,
    /// Where it stands.
    pub status: RunStatus,
    /// True once a worker began it, asked for it or ended it well: the agent has its prompt.
    pub delivered: bool,
    /// What the agent is told; dropped when the next run is asked for.
    pub prompt: String,
    /// The run whose session it resumes.
    pub resumed_from: Option<RunId>,
    /// Attempts so far.
    pub attempts: u32,
    /// Attempts that failed by the agent's own doing.
    pub failed: u32,
    /// Attempts that were lost or given back.
    pub lost: u32,
}

/// The attempt that holds the lease.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Live {
    /// The fence.
    pub attempt_id: AttemptId,
    /// Its run.
    pub run_id: RunId,
    /// Its number within the run.
    pub attempt_no: u32,
    /// Who holds it.
    pub worker_id: WorkerId,
    /// How long the lease lasts without renewal, in milliseconds.
    pub lease_ms: i64,
    /// Since when.
    pub leased_at: DateTime<Utc>,
    /// When the worker began, if it has.
    pub started_at: Option<DateTime<Utc>>,
    /// Set when it is to stop: until then the session stays taken.
    pub cancel_grace_until: Option<DateTime<Utc>>,
}

/// A sleep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sleep {
    /// When the timer rings.
    pub wake_at: DateTime<Utc>,
    /// What the agent is told then.
    pub follow_up_prompt: Option<String>,
}

/// Where an input stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputState {
    /// Waits for a run.
    Pending,
    /// Taken, not yet used.
    Claimed(AttemptId),
    /// The agent has it.
    Consumed,
}

/// Something said to the task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// Its id.
    pub input_id: InputId,
    /// Its place in the inbox.
    pub seq: u32,
    /// What kind.
    pub kind: InputKind,
    /// What the agent is told; dropped once consumed.
    pub message: String,
    /// When and how it reaches the agent.
    pub queue_mode: QueueMode,
    /// What said it.
    pub source: InputSource,
    /// Yes, no or both.
    pub action: Option<Verdict>,
    /// Answers by question id; dropped once consumed.
    pub answers: Map<String, Value>,
    /// What the caller was told.
    pub outcome: InputOutcome,
    /// Where it stands.
    pub state: InputState,
}

/// An open question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Blocker {
    /// The question, in its last words.
    pub opened: BlockerOpened,
    /// Who approved so far, by actor name, when it takes several.
    pub votes: Vec<String>,
}

/// What keeps an unfinished task from being forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// It stands in the queue.
    QueueEntry,
    /// A worker has it.
    Lease,
    /// A timer will ring.
    Timer,
    /// A question is open.
    OpenBlocker,
    /// An approved tool call is being carried out.
    ToolExecution,
}

impl Task {
    /// Its id.
    pub fn id(&self) -> TaskId {
        self.accepted.task_id
    }

    /// The newest run.
    pub fn current_run(&self) -> Option<&Run> {
        self.runs.last()
    }

    /// The newest run, while it is not over.
    pub fn active_run(&self) -> Option<&Run> {
        self.current_run().filter(|run| !run.status.is_terminal())
    }

    /// The run with this id.
    pub fn run(&self, run_id: RunId) -> Option<&Run> {
        self.runs.iter().rev().find(|run| run.run_id == run_id)
    }

    /// The live attempt, unless it was told to stop.
    pub fn working_attempt(&self) -> Option<&Live> {
        self.live.as_ref().filter(|live| live.cancel_grace_until.is_none())
    }

    /// The input with this id.
    pub fn input(&self, input_id: InputId) -> Option<&Input> {
        self.inbox.iter().rev().find(|input| input.input_id == input_id)
    }

    /// The place in the inbox the next input takes.
    pub fn next_input_seq(&self) -> u32 {
        u32::try_from(self.inbox.len()).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// Inputs no run has yet, oldest first.
    pub fn pending_inputs(&self) -> impl Iterator<Item = &Input> {
        self.inbox.iter().filter(|input| input.state == InputState::Pending)
    }

    /// The input this attempt took and has not acknowledged: the answer to its claim, however often it claims.
    pub fn claimed_input(&self, attempt_id: &AttemptId) -> Option<&Input> {
        self.inbox.iter().find(|input| matches!(&input.state, InputState::Claimed(by) if by == attempt_id))
    }

    /// The approved tool call that is not carried out yet.
    pub fn executing_call(&self) -> Option<&ToolCall> {
        self.tool_calls.values().find(|call| {
            matches!(call.state, ToolCallState::Approved { .. } | ToolCallState::Executing { .. })
        })
    }

    /// True while nothing but the end of its subtasks is waited for.
    pub fn waits_for_subtasks(&self) -> bool {
        self.blocker.as_ref().is_some_and(|blocker| blocker.opened.kind == BlockerKind::Subtasks)
    }

    /// True while it refuses every command but its return.
    pub fn is_archived(&self) -> bool {
        self.archived_at.is_some()
    }

    /// What was said to the agent but never reached it: the prompt of a last run that no worker began, or the
    /// command itself when there was no run yet.
    pub fn undelivered_prompt(&self) -> Option<&str> {
        match self.current_run() {
            None => Some(&self.accepted.message),
            Some(run) => Some(run.prompt.as_str()).filter(|_| !run.delivered),
        }
    }

    /// The instant at which the live attempt has run for too long, if there is a limit. An attempt that never
    /// begins counts from its lease.
    pub fn attempt_due(&self) -> Option<DateTime<Utc>> {
        let live = self.working_attempt().filter(|_| self.accepted.timeout_ms > 0)?;
        Some(later(live.started_at.unwrap_or(live.leased_at), self.accepted.timeout_ms))
    }

    /// The instant at which the queued run has waited for too long for its first attempt, if there is a limit.
    pub fn queue_due(&self) -> Option<DateTime<Utc>> {
        let waits = self.state == TaskState::Queued && self.active_run().is_some_and(|run| run.attempts == 0);
        let queued_at = self.queued_at.filter(|_| waits)?;
        self.accepted.queue_ttl_ms.map(|ttl_ms| later(queued_at, ttl_ms))
    }

    /// What keeps the task from being forgotten; `None` only when it is over.
    pub fn owner(&self) -> Option<Owner> {
        match self.state {
            TaskState::Queued => self.active_run().map(|_| Owner::QueueEntry),
            TaskState::Running => self.working_attempt().map(|_| Owner::Lease),
            TaskState::Waiting => match &self.blocker {
                Some(_) => Some(Owner::OpenBlocker),
                None => self.executing_call().map(|_| Owner::ToolExecution),
            },
            TaskState::Sleeping => self.sleep.as_ref().map(|_| Owner::Timer),
            TaskState::Done | TaskState::Error | TaskState::Dropped | TaskState::Cancelled => None,
        }
    }
}
