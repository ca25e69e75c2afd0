//! Events of a task. These names and fields are stored permanently: see `schemas/README.md` before changing one.

use std::sync::Arc;

use crate::stored::json_bytes;

mod acceptance;
mod blocker;
mod budget;
mod inbox;
mod input_numbers;
mod lifecycle;
mod output;
mod priority;
mod run;
mod subtask;
mod tool_call;
mod watch;

pub use acceptance::{ParentClose, TaskAccepted};
pub use blocker::{
    Approvers, BlockerClosed, BlockerDeadline, BlockerItem, BlockerKind, BlockerOpened, BlockerStatus,
    BlockerUpdated, BlockerVoted, BudgetScope, DeadlineDefault, Decision, ItemDecision, Question, Resolution,
    Verdict,
};
pub use budget::{BudgetExceeded, BudgetWarned};
pub use inbox::{
    InputAccepted, InputClaimed, InputConsumed, InputDeferred, InputKind, InputOutcome, InputReturned,
    InputSource, QueueMode,
};
pub use input_numbers::InputNumbers;
pub use lifecycle::{
    AgendaItem, DropReason, TaskArchived, TaskBudgetSet, TaskCancelled, TaskContinued, TaskDeadlineSet,
    TaskDone, TaskDropped, TaskFailed, TaskLabelled, TaskPayloadSet, TaskReprioritised, TaskRoutingSet,
    TaskSlept, TaskUnarchived,
};
pub use output::{
    OutputArchived, OutputFinalized, OutputProduced, OutputRowsAppended, OutputStatus, OutputStatusChanged,
};
pub use priority::Priority;
pub use run::{
    AttemptCancelRequested, AttemptEnded, AttemptLeased, AttemptOutcome, AttemptStarted, Opening,
    RetryReason, RetryScheduled, RunCause, RunEnded, RunRequested, RunStatus, UsageRecorded,
};
pub use subtask::{DEPTH_MAX, Join, JoinWait, ParentTold, Subtask, SubtaskEnded, SubtasksSpawned};
pub use tool_call::{
    ToolCallAllowed, ToolCallDecided, ToolCallDeferred, ToolExecutionEnded, ToolExecutionStarted,
    ToolExecutor, ToolOutcome, ToolPermission,
};
pub use watch::{DisarmCause, INTEGRATIONS, SourceWatch, WatchArmed, WatchDisarmed, WatchFired};

/// An event of a task.
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
    UsageRecorded(UsageRecorded),
    TaskContinued(TaskContinued),
    TaskSlept(TaskSlept),
    TaskDone(TaskDone),
    TaskFailed(TaskFailed),
    TaskCancelled(TaskCancelled),
    TaskDropped(TaskDropped),
    TaskArchived(TaskArchived),
    TaskUnarchived(TaskUnarchived),
    TaskReprioritised(TaskReprioritised),
    TaskBudgetSet(TaskBudgetSet),
    TaskLabelled(TaskLabelled),
    TaskDeadlineSet(TaskDeadlineSet),
    TaskRoutingSet(TaskRoutingSet),
    TaskPayloadSet(TaskPayloadSet),
    BlockerOpened(BlockerOpened),
    BlockerUpdated(BlockerUpdated),
    BlockerVoted(BlockerVoted),
    BlockerClosed(BlockerClosed),
    InputAccepted(InputAccepted),
    InputClaimed(InputClaimed),
    InputReturned(InputReturned),
    InputDeferred(InputDeferred),
    InputConsumed(InputConsumed),
    OutputProduced(OutputProduced),
    OutputRowsAppended(OutputRowsAppended),
    OutputFinalized(OutputFinalized),
    OutputStatusChanged(OutputStatusChanged),
    OutputArchived(OutputArchived),
    ToolCallDeferred(ToolCallDeferred),
    ToolCallAllowed(ToolCallAllowed),
    ToolCallDecided(ToolCallDecided),
    ToolExecutionStarted(ToolExecutionStarted),
    ToolExecutionEnded(ToolExecutionEnded),
    SubtasksSpawned(SubtasksSpawned),
    SubtaskEnded(SubtaskEnded),
    ParentTold(ParentTold),
    WatchArmed(WatchArmed),
    WatchFired(WatchFired),
    WatchDisarmed(WatchDisarmed),
    BudgetWarned(BudgetWarned),
    BudgetExceeded(BudgetExceeded),
}

impl Event {
    /// Bytes of the event as JSON, with everything that its commit says already.
    pub(in crate::task) fn bytes(&self) -> usize {
        match self {
            Self::TaskAccepted(e) => json_bytes(&**e),
            Self::RunRequested(e) => json_bytes(e),
            Self::AttemptLeased(e) => json_bytes(e),
            Self::AttemptStarted(e) => json_bytes(e),
            Self::AttemptCancelRequested(e) => json_bytes(e),
            Self::AttemptEnded(e) => json_bytes(e),
            Self::RetryScheduled(e) => json_bytes(e),
            Self::RunEnded(e) => json_bytes(e),
            Self::UsageRecorded(e) => json_bytes(e),
            Self::TaskContinued(e) => json_bytes(e),
            Self::TaskSlept(e) => json_bytes(e),
            Self::TaskDone(e) => json_bytes(e),
            Self::TaskFailed(e) => json_bytes(e),
            Self::TaskCancelled(e) => json_bytes(e),
            Self::TaskDropped(e) => json_bytes(e),
            Self::TaskArchived(e) => json_bytes(e),
            Self::TaskUnarchived(e) => json_bytes(e),
            Self::TaskReprioritised(e) => json_bytes(e),
            Self::TaskBudgetSet(e) => json_bytes(e),
            Self::TaskLabelled(e) => json_bytes(e),
            Self::TaskDeadlineSet(e) => json_bytes(e),
            Self::TaskRoutingSet(e) => json_bytes(e),
            Self::TaskPayloadSet(e) => json_bytes(e),
            Self::BlockerOpened(e) => json_bytes(e),
            Self::BlockerUpdated(e) => json_bytes(e),
            Self::BlockerVoted(e) => json_bytes(e),
            Self::BlockerClosed(e) => json_bytes(e),
            Self::InputAccepted(e) => json_bytes(e),
            Self::InputClaimed(e) => json_bytes(e),
            Self::InputReturned(e) => json_bytes(e),
            Self::InputDeferred(e) => json_bytes(e),
            Self::InputConsumed(e) => json_bytes(e),
            Self::OutputProduced(e) => json_bytes(e),
            Self::OutputRowsAppended(e) => json_bytes(e),
            Self::OutputFinalized(e) => json_bytes(e),
            Self::OutputStatusChanged(e) => json_bytes(e),
            Self::OutputArchived(e) => json_bytes(e),
            Self::ToolCallDeferred(e) => json_bytes(e),
            Self::ToolCallAllowed(e) => json_bytes(e),
            Self::ToolCallDecided(e) => json_bytes(e),
            Self::ToolExecutionStarted(e) => json_bytes(e),
            Self::ToolExecutionEnded(e) => json_bytes(e),
            Self::SubtasksSpawned(e) => json_bytes(e),
            Self::SubtaskEnded(e) => json_bytes(e),
            Self::ParentTold(e) => json_bytes(e),
            Self::WatchArmed(e) => json_bytes(e),
            Self::WatchFired(e) => json_bytes(e),
            Self::WatchDisarmed(e) => json_bytes(e),
            Self::BudgetWarned(e) => json_bytes(e),
            Self::BudgetExceeded(e) => json_bytes(e),
        }
    }

    /// The instant at which the event ended the task, if it did.
    pub(super) fn ends_task_at(&self) -> Option<chrono::DateTime<chrono::Utc>> {
        if let Self::TaskDone(TaskDone { at })
        | Self::TaskFailed(TaskFailed { at, .. })
        | Self::TaskCancelled(TaskCancelled { at, .. })
        | Self::TaskDropped(TaskDropped { at, .. }) = self
        {
            return Some(*at);
        }
        None
    }

    /// True when something may be left to do about a task after it, though nothing was before: a run, a sleep, a
    /// question, subtasks. A task at rest stays at rest after any other event.
    pub fn sets_in_motion(&self) -> bool {
        match self {
            Self::TaskAccepted(_)
            | Self::RunRequested(_)
            | Self::AttemptLeased(_)
            | Self::RetryScheduled(_)
            | Self::TaskContinued(_)
            | Self::TaskSlept(_)
            | Self::BlockerOpened(_)
            | Self::SubtasksSpawned(_) => true,
            Self::AttemptStarted(_)
            | Self::AttemptCancelRequested(_)
            | Self::AttemptEnded(_)
            | Self::RunEnded(_)
            | Self::UsageRecorded(_)
            | Self::TaskDone(_)
            | Self::TaskFailed(_)
            | Self::TaskCancelled(_)
            | Self::TaskDropped(_)
            | Self::TaskArchived(_)
            | Self::TaskUnarchived(_)
            | Self::TaskReprioritised(_)
            | Self::TaskBudgetSet(_)
            | Self::TaskLabelled(_)
            | Self::TaskDeadlineSet(_)
            | Self::TaskRoutingSet(_)
            | Self::TaskPayloadSet(_)
            | Self::BlockerUpdated(_)
            | Self::BlockerVoted(_)
            | Self::BlockerClosed(_)
            | Self::InputAccepted(_)
            | Self::InputClaimed(_)
            | Self::InputReturned(_)
            | Self::InputDeferred(_)
            | Self::InputConsumed(_)
            | Self::OutputProduced(_)
            | Self::OutputRowsAppended(_)
            | Self::OutputFinalized(_)
            | Self::OutputStatusChanged(_)
            | Self::OutputArchived(_)
            | Self::ToolCallDeferred(_)
            | Self::ToolCallAllowed(_)
            | Self::ToolCallDecided(_)
            | Self::ToolExecutionStarted(_)
            | Self::ToolExecutionEnded(_)
            | Self::SubtaskEnded(_)
            | Self::ParentTold(_)
            | Self::WatchArmed(_)
            | Self::WatchFired(_)
            | Self::WatchDisarmed(_)
            | Self::BudgetWarned(_)
            | Self::BudgetExceeded(_) => false,
        }
    }
}
