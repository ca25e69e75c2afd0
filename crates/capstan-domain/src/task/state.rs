//! What decisions need to know of a task.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::finite::AMOUNT_MAX;
use crate::id::{AttemptId, InputId, OutputId, RunId, TaskId, ToolCallId, WatchId, WorkerId};
use crate::span::later;
use crate::task::event::{
    BlockerKind, BlockerOpened, BudgetScope, BudgetWarned, InputKind, InputOutcome, InputSource, Join,
    JoinWait, OutputStatus, Priority, QueueMode, RunCause, RunStatus, SourceWatch, Subtask, SubtaskEnded,
    TaskAccepted, ToolCallDeferred, ToolExecutor, Verdict,
};
use crate::task::rejection::Rejection;
use crate::task::spending::Spending;
use crate::task::transitions::TaskState;

pub(super) mod outputs;

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
    pub warned: BTreeMap<BudgetScope, BudgetWarned>,
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

    /// The live attempt, when it is this one and was not asked to stop.
    pub(super) fn fenced(&self, attempt_id: &AttemptId) -> Result<&Live, Rejection> {
        self.working_attempt()
            .filter(|live| live.attempt_id == *attempt_id)
            .ok_or(Rejection::LeaseLost { current_epoch: self.epoch })
    }

    /// True when the task has inputs no run has delivered; claimed inputs are returned when an attempt ends.
    pub(super) fn has_inputs_left(&self) -> bool {
        self.inbox.iter().any(|input| input.state != InputState::Consumed)
    }

    /// True when one of them answers a question asked now.
    pub(super) fn has_answers_left(&self) -> bool {
        self.inbox.iter().any(|input| input.state != InputState::Consumed && input.may_answer())
    }

    /// The pending outputs a decision without items is about, oldest first: those of the open question; when none is
    /// open, those of the newest wait group.
    pub(super) fn outputs_in_question(&self) -> Vec<(OutputId, &Output)> {
        let Some(blocker) = &self.blocker else { return self.group_awaiting_approval(None) };
        let asked = |id: &OutputId| blocker.opened.items.iter().any(|item| item.output_id == *id);
        self.outputs_by_age(|id, output| asked(id) && output.status == OutputStatus::Pending)
    }

    /// The outputs of this wait group that await an approval, oldest first; of the newest group when none is named.
    pub(super) fn group_awaiting_approval(&self, group: Option<&str>) -> Vec<(OutputId, &Output)> {
        let mut waiting = self.outputs_awaiting_approval();
        if let Some(group) = group {
            waiting.retain(|(_, output)| output.wait_group_id.as_deref() == Some(group));
        } else if let Some((newest_id, newest)) = waiting.last().copied() {
            waiting.retain(|(id, output)| match &newest.wait_group_id {
                Some(group) => output.wait_group_id.as_ref() == Some(group),
                None => *id == newest_id,
            });
        }
        waiting
    }

    /// The outputs that await an approval, oldest first.
    pub(super) fn outputs_awaiting_approval(&self) -> Vec<(OutputId, &Output)> {
        self.outputs_by_age(|_, output| output.awaits_approval())
    }

    /// True when an approval is asked for: by the open question, or by outputs of a task without an active run.
    pub(super) fn awaits_approval(&self) -> bool {
        match &self.blocker {
            Some(blocker) => blocker.opened.kind == BlockerKind::Approval,
            None => self.active_run().is_none() && self.outputs.values().any(Output::awaits_approval),
        }
    }

    fn outputs_by_age(&self, keep: impl Fn(&OutputId, &Output) -> bool) -> Vec<(OutputId, &Output)> {
        let kept = self.outputs.iter().filter(|(id, output)| keep(id, output));
        let mut outputs: Vec<_> = kept.map(|(id, output)| (*id, output)).collect();
        outputs.sort_by_key(|(id, output)| (output.number, *id));
        outputs
    }

    /// True when nothing is left to wait for.
    pub(super) fn is_met(&self, join: &JoinWait) -> bool {
        let mut over =
            join.task_ids.iter().map(|id| self.children.get(id).is_some_and(|child| child.ended.is_some()));
        match join.join {
            Join::None => true,
            Join::All => over.all(|over| over),
            Join::Any => over.any(|over| over),
        }
    }

    /// Cost of its tree as far as it knows, in US dollars: its own, and that of subtasks that are over.
    pub fn spent_usd(&self) -> f64 {
        let ended = self.children.values().filter_map(|child| child.ended.as_ref());
        (self.cost_usd + ended.map(|ended| ended.cost_usd).sum::<f64>()).min(AMOUNT_MAX)
    }

    /// The task's own budget and what is spent of it, if it has one.
    pub fn own_budget(&self) -> Option<Spending> {
        let limit_usd = self.accepted.budget_usd?;
        Some(Spending { scope: BudgetScope::Task, limit_usd, spent_usd: self.spent_usd() })
    }

    /// The children it asked for that are not known to be over.
    pub fn open_subtasks(&self) -> impl Iterator<Item = &Subtask> {
        self.children
            .values()
            .filter(|child| child.ended.is_none())
            .filter_map(|child| child.subtask.as_deref())
    }

    /// True while it is over and its parent does not know.
    pub fn must_tell_parent(&self) -> bool {
        self.state.is_terminal()
            && self.live.is_none()
            && self.accepted.parent_task_id.is_some()
            && !self.parent_told
    }

    /// True when nothing is left to be done about it: no lease to be freed, no child to be made or heard of, no parent
    /// to be told.
    pub fn is_at_rest(&self) -> bool {
        self.state.is_terminal()
            && self.live.is_none()
            && !self.must_tell_parent()
            && self.open_subtasks().next().is_none()
    }
}

impl Output {
    /// True while it waits for an approval.
    pub(super) fn awaits_approval(&self) -> bool {
        self.status == OutputStatus::Pending && self.is_approval && !self.is_archived
    }
}

impl Input {
    /// True for a caller's input that does not take a turn to itself.
    pub(super) fn may_answer(&self) -> bool {
        self.source == InputSource::Caller && self.queue_mode != QueueMode::Queue
    }
}

impl Blocker {
    /// True when a text can end the question; the others end with a budget or with subtasks.
    pub(super) fn takes_text(&self) -> bool {
        matches!(self.opened.kind, BlockerKind::Input | BlockerKind::Approval)
    }
}

/// Minutes for which a rejection without a reason refuses the same call again.
const REJECTED_MINUTES: i64 = 10;
/// Minutes for which the agent may repeat an approved call.
const PRE_APPROVED_MINUTES: i64 = 2;

impl ToolCall {
    /// True for a decision that is no longer in force.
    pub(super) fn is_forgotten(&self, now: DateTime<Utc>) -> bool {
        match self.state {
            ToolCallState::Rejected { at } => now >= at + Duration::minutes(REJECTED_MINUTES),
            ToolCallState::PreApproved { at } => now >= at + Duration::minutes(PRE_APPROVED_MINUTES),
            ToolCallState::Pending | ToolCallState::Approved { .. } | ToolCallState::Executing { .. } => {
                false
            }
        }
    }
}
