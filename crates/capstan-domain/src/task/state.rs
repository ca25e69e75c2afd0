//! A task, as far as decisions need it: its parts, and questions about the whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::finite::AMOUNT_MAX;
use crate::id::{AttemptId, BlockerId, InputId, OutputId, RunId, TaskId};
use crate::span::later;
use crate::task::event::{
    BlockerKind, BudgetScope, BudgetWarned, OutputStatus, Priority, RunCause, Subtask, TaskAccepted,
};
use crate::task::rejection::Rejection;
use crate::task::spending::Spending;
use crate::task::transitions::TaskState;

/// Lets a part be read like the collection it wraps; only events change it.
macro_rules! reads_as {
    ($part:ty, $target:ty) => {
        impl std::ops::Deref for $part {
            type Target = $target;

            fn deref(&self) -> &Self::Target {
                &self.0
            }
        }
    };
}

mod blocker;
mod children;
mod inbox;
pub(super) mod outputs;
mod parent_report;
mod run;
mod tool_calls;
mod watches;

pub use blocker::Blocker;
pub use children::{Child, Children};
pub use inbox::{Inbox, Input, InputState};
pub use outputs::{EmailDraft, Output, Outputs};
pub use parent_report::ParentReport;
pub use run::{Live, Run, Runs};
pub use tool_calls::{ToolCall, ToolCallState, ToolCalls};
pub use watches::Watches;

/// The stream of a task: empty, or a task.
pub type State = Option<Box<Task>>;

/// A task, as far as decisions need it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// The command as accepted, with later changes. It is by far the largest part, so states of a task share it.
    pub accepted: Arc<TaskAccepted>,
    /// The task's state.
    pub state: TaskState,
    /// Its current urgency.
    pub priority: Priority,
    /// The instant it was archived, while it is.
    pub archived_at: Option<DateTime<Utc>>,
    /// The instant it was queued, while it is.
    pub queued_at: Option<DateTime<Utc>>,
    /// The earliest instant of its next lease.
    pub available_at: Option<DateTime<Utc>>,
    /// Its sleep, while it sleeps.
    pub sleep: Option<Sleep>,
    /// Times a timer woke it since the last input of a caller.
    pub wake_count: u32,
    /// Its runs.
    pub runs: Runs,
    /// The last lease epoch.
    pub epoch: u64,
    /// The attempt that holds the lease.
    pub live: Option<Live>,
    /// Its inputs.
    pub inbox: Inbox,
    /// The question it waits on.
    pub blocker: Option<Blocker>,
    /// Blockers opened so far.
    pub blocker_revision: u32,
    /// The question answered last, and the input that answered it.
    pub answered: Option<(Blocker, InputId)>,
    /// Its outputs.
    pub outputs: Outputs,
    /// Its deferred tool calls.
    pub tool_calls: ToolCalls,
    /// Its subtasks.
    pub children: Children,
    /// Its watches.
    pub watches: Watches,
    /// Cost of its own runs, in US dollars.
    pub cost_usd: f64,
    /// The last warning about each budget.
    pub warned: BTreeMap<BudgetScope, BudgetWarned>,
    /// Its report to its parent.
    pub report: ParentReport,
}

/// A sleep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sleep {
    /// The instant its timer fires.
    pub wake_at: DateTime<Utc>,
    /// The prompt for the agent then.
    pub follow_up_prompt: Option<String>,
}

/// The part of the system that will continue an unfinished task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// An entry of the queue.
    QueueEntry,
    /// The lease of a worker.
    Lease,
    /// A timer.
    Timer,
    /// An open question.
    OpenBlocker,
    /// The execution of an approved tool call.
    ToolExecution,
}

impl Task {
    pub(super) fn new(accepted: &Arc<TaskAccepted>) -> Self {
        Self {
            accepted: Arc::clone(accepted),
            // Replaced by the event that follows in the same commit: RunRequested or TaskSlept.
            state: TaskState::Queued,
            priority: accepted.priority,
            archived_at: None,
            queued_at: None,
            available_at: None,
            sleep: None,
            wake_count: 0,
            runs: Runs::default(),
            epoch: 0,
            live: None,
            inbox: Inbox::default(),
            blocker: None,
            blocker_revision: 0,
            answered: None,
            outputs: Outputs::default(),
            tool_calls: ToolCalls::default(),
            children: Children::default(),
            watches: Watches::default(),
            cost_usd: 0.0,
            warned: BTreeMap::new(),
            report: ParentReport::default(),
        }
    }

    /// Enters a state in which the task neither waits in the queue nor sleeps.
    pub(super) fn enter(&mut self, state: TaskState) {
        self.state = state;
        self.queued_at = None;
        self.available_at = None;
        self.sleep = None;
    }

    /// Enters the queue.
    pub(super) fn enter_queue(&mut self, queued_at: DateTime<Utc>, available_at: Option<DateTime<Utc>>) {
        self.enter(TaskState::Queued);
        self.queued_at = Some(queued_at);
        self.available_at = available_at;
    }

    /// A requested run begins a new report, and after a retry the wakes are counted from zero.
    pub(super) fn run_requested(&mut self, cause: RunCause) {
        self.report = ParentReport::default();
        if cause == RunCause::Wake {
            self.wake_count = self.wake_count.saturating_add(1);
        } else if cause == RunCause::Retry {
            self.wake_count = 0;
        }
    }

    /// Unless more follows in the same decision, a tool call in execution is all that is left to wait for.
    pub(super) fn run_ended(&mut self, result: Option<&Value>) {
        if self.state == TaskState::Running && self.executing_call().is_some() {
            self.state = TaskState::Waiting;
        }
        if self.has_parent() {
            self.report.result = result.cloned();
        }
    }

    /// The command, to be changed.
    pub(super) fn accepted_mut(&mut self) -> &mut TaskAccepted {
        Arc::make_mut(&mut self.accepted)
    }

    /// Changes the live attempt, if it is this one.
    pub(super) fn with_live(&mut self, attempt_id: &AttemptId, change: impl FnOnce(&mut Live)) {
        if let Some(live) = self.live.as_mut().filter(|live| live.attempt_id == *attempt_id) {
            change(live);
        }
    }

    /// Changes the open question, if it is this one.
    pub(super) fn with_blocker(&mut self, blocker_id: BlockerId, change: impl FnOnce(&mut Blocker)) {
        if let Some(blocker) = self.blocker.as_mut().filter(|open| open.opened.blocker_id == blocker_id) {
            change(blocker);
        }
    }

    /// Enters a final state. `error` is kept for the parent.
    pub(super) fn end(&mut self, state: TaskState, error: Option<&str>) {
        self.enter(state);
        self.tool_calls.task_ended();
        self.children.task_ended();
        if self.has_parent() {
            self.report.error = error.map(str::to_owned);
        }
    }

    /// True for a subtask.
    pub(super) fn has_parent(&self) -> bool {
        self.accepted.parent_task_id.is_some()
    }

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

    /// The live attempt, unless it was asked to stop.
    pub fn working_attempt(&self) -> Option<&Live> {
        self.live.as_ref().filter(|live| live.cancel_grace_until.is_none())
    }

    /// The input with this id.
    pub fn input(&self, input_id: InputId) -> Option<&Input> {
        self.inbox.iter().rev().find(|input| input.input_id == input_id)
    }

    /// Inputs no run has, oldest first.
    pub fn pending_inputs(&self) -> impl Iterator<Item = &Input> {
        self.inbox.iter().filter(|input| input.state == InputState::Pending)
    }

    /// The input this attempt claimed and has not acknowledged: the answer to every repeated claim.
    pub fn claimed_input(&self, attempt_id: &AttemptId) -> Option<&Input> {
        self.inbox.iter().find(|input| matches!(&input.state, InputState::Claimed(by) if by == attempt_id))
    }

    /// The approved tool call that is not executed yet.
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

    /// The text that never reached the agent: the prompt of a last run that no worker began, or the command itself when
    /// there was no run yet.
    pub fn undelivered_prompt(&self) -> Option<&str> {
        match self.current_run() {
            None => Some(&self.accepted.message),
            Some(run) => Some(run.prompt.as_str()).filter(|_| !run.delivered),
        }
    }

    /// The instant at which the live attempt times out, if there is a limit. An attempt that never begins counts from its
    /// lease.
    pub fn attempt_due(&self) -> Option<DateTime<Utc>> {
        let live = self.working_attempt().filter(|_| self.accepted.timeout_ms > 0)?;
        Some(later(live.started_at.unwrap_or(live.leased_at), self.accepted.timeout_ms))
    }

    /// The instant at which the queue TTL of the first attempt expires, if there is one.
    pub fn queue_due(&self) -> Option<DateTime<Utc>> {
        let waits = self.state == TaskState::Queued && self.active_run().is_some_and(|run| run.attempts == 0);
        let queued_at = self.queued_at.filter(|_| waits)?;
        self.accepted.queue_ttl_ms.map(|ttl_ms| later(queued_at, ttl_ms))
    }

    /// The part of the system that will continue the task; none only when it is over.
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

    /// The pending outputs a decision without items is about, oldest first: those of the open question; when none is
    /// open, those of the newest wait group.
    pub(super) fn outputs_in_question(&self) -> Vec<(OutputId, &Output)> {
        let Some(blocker) = &self.blocker else { return self.group_awaiting_approval(None) };
        let asked = |id: &OutputId| blocker.opened.items.iter().any(|item| item.output_id == *id);
        self.outputs.by_age(|id, output| asked(id) && output.status == OutputStatus::Pending)
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
        self.outputs.by_age(|_, output| output.awaits_approval())
    }

    /// True when an approval is requested: by the open question, or by outputs of a task without an active run.
    pub(super) fn awaits_approval(&self) -> bool {
        match &self.blocker {
            Some(blocker) => blocker.opened.kind == BlockerKind::Approval,
            None => self.active_run().is_none() && self.outputs.values().any(Output::awaits_approval),
        }
    }

    /// Cost of its tree as far as it knows, in US dollars: its own, and that of subtasks that are over.
    pub fn spent_usd(&self) -> f64 {
        (self.cost_usd + self.children.cost_usd()).min(AMOUNT_MAX)
    }

    /// The task's own budget and what is spent of it, if it has one.
    pub fn own_budget(&self) -> Option<Spending> {
        let limit_usd = self.accepted.budget_usd?;
        Some(Spending { scope: BudgetScope::Task, limit_usd, spent_usd: self.spent_usd() })
    }

    /// The subtasks it requested that are not known to be over.
    pub fn open_subtasks(&self) -> impl Iterator<Item = &Subtask> {
        self.children
            .values()
            .filter(|child| child.ended.is_none())
            .filter_map(|child| child.subtask.as_deref())
    }

    /// True while it is over and its parent does not know.
    pub fn must_tell_parent(&self) -> bool {
        self.state.is_terminal() && self.live.is_none() && self.has_parent() && !self.report.is_sent
    }

    /// True when nothing is left to do: no lease to free, no subtask to make or await, no parent to inform.
    pub fn is_at_rest(&self) -> bool {
        self.state.is_terminal()
            && self.live.is_none()
            && !self.must_tell_parent()
            && self.open_subtasks().next().is_none()
    }
}
