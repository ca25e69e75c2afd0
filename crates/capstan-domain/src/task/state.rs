//! A task, as far as decisions need it: its parts, and questions about the whole.

use std::borrow::Cow;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::finite::AMOUNT_MAX;
use crate::id::{AttemptId, InputId, OutputId, RunId, TaskId};
use crate::span::later;
use crate::task::event::{
    BlockerKind, BudgetScope, Opening, OutputStatus, RunRequested, Subtask, TaskAccepted, TaskPayloadSet,
};
use crate::task::rejection::Rejection;
use crate::task::shortened::{RESULT_BYTES_MAX, short_result, shortened_as_json};
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
mod carried;
mod changes;
pub(super) mod children;
mod inbox;
pub(super) mod outputs;
mod parent_report;
mod progress;
mod rows;
mod run;
mod size;
mod stored;
mod tool_calls;
mod watches;

pub use blocker::Blocker;
pub use carried::CARRIED_BYTES_MAX;
pub use changes::Changes;
pub use children::{Child, ChildEnd, Children};
pub use inbox::{Inbox, Input, InputState};
pub use outputs::{EmailDraft, Known, Outputs};
pub use parent_report::ParentReport;
pub use progress::{Progress, Sleep};
pub use rows::{RowCount, Rows, rows_of};
pub use run::{Live, Run, Runs};
pub use size::SizeBound;
pub use stored::StoredProgress;
pub use tool_calls::{ToolCall, ToolCallState, ToolCalls};
pub use watches::Watches;

/// The stream of a task: empty, or a task.
pub type State = Option<Box<Task>>;

/// A task, as far as decisions need it: the command it was accepted with, and its progress since.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// The command as accepted, with later changes. It is by far the largest part, so states of a task share it.
    pub accepted: Arc<TaskAccepted>,
    /// Everything that changes. A task reads like its progress.
    pub progress: Progress,
    size: size::Known,
}

impl Deref for Task {
    type Target = Progress;

    fn deref(&self) -> &Self::Target {
        &self.progress
    }
}

impl DerefMut for Task {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.progress
    }
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
        Self::of(Arc::clone(accepted), Progress::new(accepted.priority))
    }

    fn of(accepted: Arc<TaskAccepted>, progress: Progress) -> Self {
        Self { accepted, progress, size: size::Known::default() }
    }

    /// Unless more follows in the same decision, a tool call in execution is all that is left to wait for.
    pub(super) fn run_ended(&mut self, result: Option<&Value>) {
        if self.state == TaskState::Running && self.executing_call().is_some() {
            self.state = TaskState::Waiting;
        }
        if self.has_parent() {
            self.report.result = result.map(short_result);
        }
    }

    /// Changes the command. What a run still has to deliver of the old one is kept.
    pub(super) fn change_accepted(&mut self, change: impl FnOnce(&mut Changes)) {
        change(&mut self.progress.changes);
        self.progress.changes.apply(Arc::make_mut(&mut self.accepted));
    }

    /// Changes what the agent is told; a run that delivers the old message keeps it.
    pub(super) fn change_payload(&mut self, e: &TaskPayloadSet) {
        let is_new = e.message.as_ref().is_some_and(|message| *message != self.accepted.message);
        if is_new && self.state != TaskState::Done {
            self.progress.runs.message_changed(&self.accepted.message);
        }
        self.change_accepted(|changes| changes.set_payload(e));
    }

    /// Enters a final state. `error` is kept for the parent.
    pub(super) fn end(&mut self, state: TaskState, error: Option<&str>) {
        self.enter(state);
        self.tool_calls.task_ended();
        self.children.task_ended();
        if self.has_parent() {
            self.report.error = error.map(|error| shortened_as_json(error, RESULT_BYTES_MAX));
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

    /// Its newest attempt, live or over; of epoch 0 when there was none.
    pub fn newest_attempt(&self) -> AttemptId {
        AttemptId { workspace: self.accepted.workspace.clone(), task: self.id(), epoch: self.epoch }
    }

    /// The newest run.
    pub fn current_run(&self) -> Option<&Run> {
        self.runs.last()
    }

    /// The newest run, while it is not over.
    pub fn active_run(&self) -> Option<&Run> {
        self.current_run().filter(|run| !run.status.is_terminal())
    }

    /// The run with this id, unless it is over and has left.
    pub fn run(&self, run_id: RunId) -> Option<&Run> {
        self.runs.kept.iter().rev().find(|run| run.run_id == run_id)
    }

    /// True for every run it ever had: ids of runs follow from their numbers. Takes 0.2 µs for each run that is newer.
    pub fn had_run(&self, run_id: RunId) -> bool {
        self.run(run_id).is_some()
            || (1..=self.runs.count()).rev().any(|run_no| RunId::for_task(self.id(), run_no) == run_id)
    }

    /// The live attempt, unless it was asked to stop.
    pub fn working_attempt(&self) -> Option<&Live> {
        self.live.as_ref().filter(|live| live.cancel_grace_until.is_none())
    }

    /// The input with this id, until an agent has it.
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
            Some(run) => Some(self.prompt(run)).filter(|_| !run.delivered),
        }
    }

    /// The prompt of the newest run; the message when there was no run yet.
    pub fn current_prompt(&self) -> &str {
        self.current_run().map_or(&self.accepted.message, |run| self.prompt(run))
    }

    /// The prompt of a run; of an earlier one than the last, the message.
    pub fn prompt<'a>(&'a self, run: &'a Run) -> &'a str {
        run.prompt.as_deref().unwrap_or(&self.accepted.message)
    }

    /// The prompt of a run that is requested now; none where it is the task's message. How it is put together is part of the
    /// stored format: a log is folded to the same prompts for ever.
    pub(super) fn requested_prompt(&self, e: &RunRequested) -> Option<String> {
        let opening = match e.opening {
            Opening::Nothing => None,
            Opening::Message => Some(self.accepted.message.as_str()),
            Opening::LastPrompt => Some(self.current_prompt()),
            Opening::FollowUp => self.sleep.as_ref().and_then(|sleep| sleep.follow_up_prompt.as_deref()),
        };
        let inputs = self.inbox.iter().filter(|input| e.inputs.contains(input.seq));
        let inputs = inputs.map(|input| input.message.as_str());
        let texts: Vec<_> = e.note.as_deref().into_iter().chain(opening).chain(inputs).collect();
        // Without a copy of the message, which is all most runs are told.
        let prompt: Cow<'_, str> =
            if let [text] = texts[..] { text.into() } else { texts.join("\n\n").into() };
        (prompt != self.accepted.message).then(|| prompt.into_owned())
    }

    /// The instant at which the live attempt times out, if there is a limit. It counts from the lease: when the agent begins
    /// is known from its first report alone.
    pub fn attempt_due(&self) -> Option<DateTime<Utc>> {
        let live = self.working_attempt().filter(|_| self.accepted.timeout_ms > 0)?;
        Some(later(live.leased_at, self.accepted.timeout_ms))
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
    pub(super) fn outputs_in_question(&self) -> Vec<(OutputId, Known<'_>)> {
        let Some(blocker) = &self.blocker else { return self.group_awaiting_approval(None) };
        let asked = |id: &OutputId| blocker.opened.items.iter().any(|item| item.output_id == *id);
        let pending =
            self.outputs.named().filter(|(_, output)| output.record.status == OutputStatus::Pending);
        pending.filter(|(id, _)| asked(id)).collect()
    }

    /// The outputs of this wait group that await an approval, oldest first; of the newest group when none is named.
    pub(super) fn group_awaiting_approval(&self, group: Option<&str>) -> Vec<(OutputId, Known<'_>)> {
        let mut waiting = self.outputs_awaiting_approval();
        if let Some(group) = group {
            waiting.retain(|(_, output)| output.wait_group_id() == Some(group));
        } else if let Some((newest_id, newest)) = waiting.last().copied() {
            waiting.retain(|(id, output)| match newest.wait_group_id() {
                Some(group) => output.wait_group_id() == Some(group),
                None => *id == newest_id,
            });
        }
        waiting
    }

    /// The outputs that await an approval, oldest first.
    pub(super) fn outputs_awaiting_approval(&self) -> Vec<(OutputId, Known<'_>)> {
        self.outputs.named().filter(|(_, output)| output.awaits_approval()).collect()
    }

    /// True when an approval is requested: by the open question, or by outputs of a task without an active run.
    pub(super) fn awaits_approval(&self) -> bool {
        match &self.blocker {
            Some(blocker) => blocker.opened.kind == BlockerKind::Approval,
            None => {
                self.active_run().is_none()
                    && self.outputs.named().any(|(_, output)| output.awaits_approval())
            }
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
